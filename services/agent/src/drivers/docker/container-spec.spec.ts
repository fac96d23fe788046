import { describe, expect, it } from '@jest/globals';
import type { TaskSpec } from '../driver.js';
import { containerName, containerSpec, networkName, volumeName } from './container-spec.js';

const task: TaskSpec = {
  allocation: '0193c0de-0000-7000-8000-000000000001',
  tenant: 'acme',
  bot: 'acme-eurusd',
  account: 'acme-1001',
  epoch: 7,
  host: 'host-a',
  runtime: 'paper',
  version: null,
  resources: { cpuMillis: 250, memoryMiB: 128, pids: 32 },
  runDir: '/run/tradefleet-agent/0193c0de',
  stopGraceMs: 5500,
};
const settings = {
  fleet: 'fleet',
  image: 'tradefleet/paper-bot:src-1',
  cgroupNamespace: true,
  internal: true,
};

describe('containerSpec', () => {
  it('is this, field by field', () => {
    expect(containerSpec(task, settings)).toEqual({
      Hostname: 'bot-acme-1001',
      Image: 'tradefleet/paper-bot:src-1',
      User: '911:911',
      Env: ['TRADEFLEET_RUN_DIR=/run/tradefleet'],
      Labels: {
        'io.tradefleet.schema': '1',
        'io.tradefleet.fleet': 'fleet',
        'io.tradefleet.host': 'host-a',
        'io.tradefleet.tenant': 'acme',
        'io.tradefleet.bot': 'acme-eurusd',
        'io.tradefleet.account': 'acme-1001',
        'io.tradefleet.allocation': '0193c0de-0000-7000-8000-000000000001',
        'io.tradefleet.epoch': '7',
        'io.tradefleet.runtime': 'paper',
      },
      Tty: false,
      OpenStdin: false,
      StopSignal: 'SIGTERM',
      StopTimeout: 6,
      HostConfig: {
        Privileged: false,
        CapAdd: [],
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
        Devices: [],
        GroupAdd: [],
        ReadonlyRootfs: true,
        Memory: 134_217_728,
        MemorySwap: 134_217_728,
        NanoCpus: 250_000_000,
        PidsLimit: 32,
        OomScoreAdj: 500,
        ShmSize: 67_108_864,
        Ulimits: [
          { Name: 'core', Soft: 0, Hard: 0 },
          { Name: 'nofile', Soft: 4096, Hard: 8192 },
        ],
        IpcMode: 'private',
        PidMode: '',
        UTSMode: '',
        CgroupnsMode: 'private',
        NetworkMode: 'tf-0193c0de-0000-7000-8000-000000000001',
        PublishAllPorts: false,
        PortBindings: {},
        Sysctls: { 'net.ipv4.tcp_retries2': '2', 'net.ipv4.tcp_orphan_retries': '1' },
        Dns: ['127.0.0.1'],
        DnsSearch: ['.'],
        DnsOptions: ['timeout:1', 'attempts:1'],
        Tmpfs: { '/tmp': 'rw,noexec,nosuid,nodev,size=64m,mode=1777' },
        Mounts: [
          {
            Type: 'bind',
            Source: '/run/tradefleet-agent/0193c0de',
            Target: '/run/tradefleet',
            ReadOnly: true,
            BindOptions: { Propagation: 'rprivate' },
          },
          {
            Type: 'bind',
            Source: '/run/tradefleet-agent/0193c0de/out',
            Target: '/run/tradefleet/out',
            ReadOnly: false,
            BindOptions: { Propagation: 'rprivate' },
          },
          { Type: 'volume', Source: 'tf.fleet.acme-1001', Target: '/config', ReadOnly: false },
        ],
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        AutoRemove: false,
        Init: false,
        LogConfig: {
          Type: 'local',
          Config: { 'max-size': '2m', 'max-file': '3', mode: 'non-blocking', 'max-buffer-size': '1m' },
        },
      },
    });
  });

  it('leaves out what an engine before API 1.41 does not know', () => {
    const { HostConfig } = containerSpec(task, { ...settings, cgroupNamespace: false });
    expect(HostConfig).not.toHaveProperty('CgroupnsMode');
  });

  it('looks names up only where the network leads out', () => {
    const { HostConfig } = containerSpec(task, { ...settings, internal: false });
    expect(HostConfig).not.toHaveProperty('Dns');
  });

  it.each(['', '../etc', 'a/b', 'A', '-a', `a${'b'.repeat(40)}`])('makes no name of "%s"', (account) => {
    expect(() => containerName(account)).toThrow();
    expect(() => volumeName('fleet', account)).toThrow();
    expect(() => volumeName(account, 'account')).toThrow();
    expect(() => networkName(account)).toThrow();
  });
});
