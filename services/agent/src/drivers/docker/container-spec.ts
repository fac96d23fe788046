import { Id, Name } from '#libs/contracts';
import type { ContainerCreateOptions, HostConfig } from 'dockerode';
import { join } from 'node:path';
import type { TaskSpec } from '../driver.js';
import { labelsOf } from './labels.js';

/** The bot's user in every image. */
export const RUN_USER = { uid: 911, gid: 911 } as const;
/** Where the runtime contract puts the run directory. */
export const RUN_DIR = '/run/tradefleet';

const MIB = 1024 * 1024;
const TMP_MIB = 64;
const SHM_MIB = 64;
/** Bots go before the agent and the engine when the host runs out of memory. */
const OOM_SCORE_ADJ = 500;
const NANOCPUS_PER_MILLI = 1_000_000;

/** What the host decides, where the task does not. */
export interface ContainerSettings {
  readonly fleet: string;
  readonly image: string;
  /** Whether the engine knows cgroup namespaces (API 1.41 and later). */
  readonly cgroupNamespace: boolean;
  /** Whether the network leads nowhere; then no name is looked up outside either. */
  readonly internal: boolean;
}

/** One holder per account on an engine: the name is the mutex. */
export const containerName = (account: string): string => `bot-${Name.parse(account)}`;
/**
 * Kept from one allocation of the account to the next: the terminal's profile. Dots are in no name, so no two fleets
 * and accounts share one.
 */
export const volumeName = (fleet: string, account: string): string =>
  `tf.${Name.parse(fleet)}.${Name.parse(account)}`;
export const networkName = (allocation: string): string => `tf-${Id.parse(allocation)}`;

/** What dockerode's types know, and what they do not yet. */
type HostBody = HostConfig & { CgroupnsMode?: 'private' };
export type ContainerSpec = Omit<ContainerCreateOptions, 'HostConfig' | 'name' | 'abortSignal'> & {
  HostConfig: HostBody;
};

/** The body of `POST /containers/create` for a task: the runtime contract's hardening, all of it, in one place. */
export function containerSpec(task: TaskSpec, settings: ContainerSettings): ContainerSpec {
  return {
    Hostname: containerName(task.account),
    Image: settings.image,
    User: `${RUN_USER.uid}:${RUN_USER.gid}`,
    Env: [`TRADEFLEET_RUN_DIR=${RUN_DIR}`],
    Labels: labelsOf(task, settings.fleet),
    Tty: false,
    OpenStdin: false,
    StopSignal: 'SIGTERM',
    StopTimeout: Math.ceil(task.stopGraceMs / 1000),
    HostConfig: {
      ...privileges,
      ...limitsOf(task),
      ...namespaces(settings),
      ...networking(task, settings),
      ...storage(task, settings),
      // A container that comes back by itself would trade without anybody having asked.
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
      AutoRemove: false,
      // tini is in the image.
      Init: false,
      // Non-blocking: a slow disk may lose log lines, it must not hold up a bot.
      LogConfig: {
        Type: 'local',
        Config: { 'max-size': '2m', 'max-file': '3', mode: 'non-blocking', 'max-buffer-size': '1m' },
      },
    },
  };
}

const privileges = {
  Privileged: false,
  CapAdd: [],
  CapDrop: ['ALL'],
  SecurityOpt: ['no-new-privileges:true'],
  Devices: [],
  GroupAdd: [],
  ReadonlyRootfs: true,
} satisfies HostBody;

function limitsOf({ resources }: TaskSpec): HostBody {
  const memory = resources.memoryMiB * MIB;
  return {
    Memory: memory,
    // Equal to memory: no swap.
    MemorySwap: memory,
    NanoCpus: resources.cpuMillis * NANOCPUS_PER_MILLI,
    PidsLimit: resources.pids,
    OomScoreAdj: OOM_SCORE_ADJ,
    ShmSize: SHM_MIB * MIB,
    Ulimits: [
      // A core file would hold the broker password.
      { Name: 'core', Soft: 0, Hard: 0 },
      { Name: 'nofile', Soft: 4096, Hard: 8192 },
    ],
  };
}

function namespaces(settings: ContainerSettings): HostBody {
  return {
    IpcMode: 'private',
    PidMode: '',
    UTSMode: '',
    ...(settings.cgroupNamespace ? { CgroupnsMode: 'private' } : {}),
  };
}

function networking(task: TaskSpec, settings: ContainerSettings): HostBody {
  return {
    NetworkMode: networkName(task.allocation),
    PublishAllPorts: false,
    PortBindings: {},
    Sysctls: ordersDoNotLinger,
    ...(settings.internal ? noNamesFromOutside : {}),
  };
}

/**
 * An order that was written to a socket just before the link broke stays with the kernel, which sends it again for up
 * to a quarter of an hour, even when the bot has been killed since: it could reach the broker after the account's next
 * bot has begun. Two repetitions of unacknowledged data end the connection after about 1.4 s (`tcp_retries2` of the
 * kernel's ip-sysctl: 200, 400 and 800 ms at the shortest), one is left to a socket whose process is gone. That is the
 * "one order round trip" in the agent's `leaseMarginMs`.
 */
export const ordersDoNotLinger = {
  'net.ipv4.tcp_retries2': '2',
  'net.ipv4.tcp_orphan_retries': '1',
} satisfies Record<string, string>;

/**
 * The engine's own resolver forwards questions to the host's even from an internal network (CVE-2024-29018, engines
 * before 23.0.11, 25.0.5 and 26.0). An upstream inside the container's own namespace, where nobody listens, closes that
 * way out on every engine; the options make a question fail in one second instead of ten.
 */
const noNamesFromOutside = {
  Dns: ['127.0.0.1'],
  DnsSearch: ['.'],
  DnsOptions: ['timeout:1', 'attempts:1'],
};

function storage(task: TaskSpec, settings: ContainerSettings): HostBody {
  return {
    Tmpfs: { '/tmp': `rw,noexec,nosuid,nodev,size=${TMP_MIB}m,mode=1777` },
    Mounts: [
      {
        Type: 'bind',
        Source: task.runDir,
        Target: RUN_DIR,
        ReadOnly: true,
        BindOptions: { Propagation: 'rprivate' },
      },
      {
        Type: 'bind',
        Source: join(task.runDir, 'out'),
        Target: `${RUN_DIR}/out`,
        ReadOnly: false,
        BindOptions: { Propagation: 'rprivate' },
      },
      {
        Type: 'volume',
        Source: volumeName(settings.fleet, task.account),
        Target: '/config',
        ReadOnly: false,
      },
    ],
  };
}
