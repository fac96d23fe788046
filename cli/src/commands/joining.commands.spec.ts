import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, ProblemError, type Host } from '#libs/contracts';
import { aCapacity, aTenant } from '#libs/testing';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

const token = 'Aq_'.padEnd(43, '7');
const expiresAt = '2026-01-01T00:15:00.000Z';
const aHost = (fields: Partial<Host> = {}): Host => ({
  name: 'h1',
  state: 'down',
  driver: 'docker',
  runtimes: ['paper'],
  labels: {},
  operatorLabels: {},
  capacity: aCapacity(),
  reserved: aCapacity({ cpuMillis: 0, memoryMiB: 0, bots: 0 }),
  overcommitted: false,
  fingerprint: null,
  agentVersion: '0.1.0',
  incarnation: newId(),
  signingKey: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) },
  generation: 1,
  registeredAt: '2026-01-01T00:00:00.000Z',
  lastHeartbeatAt: null,
  drain: null,
  ...fields,
});

let gateway: GatewayDouble;
let cwd: string;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  cwd = mkdtempSync(join(tmpdir(), 'tradefleet-cli-'));
});
afterEach(async () => {
  await gateway.stop();
  rmSync(cwd, { recursive: true });
});

describe('hosts invite', () => {
  beforeEach(() => {
    gateway.answers = { 'hosts.invite': () => ({ host: 'h1', token, expiresAt }) };
  });

  it('shows the token, once it has been made', async () => {
    const ran = await runCli(['hosts', 'invite', 'h1', '--ttl', '60', '--replace-key'], { gateway });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(new RegExp(`^Host h1 can join until ${expiresAt}.*\n${token}\n$`));
    expect(gateway.of('hosts.invite')[0]?.request).toMatchObject({
      name: 'h1',
      ttlMs: 60_000,
      replaceKey: true,
    });
  });

  it('writes the token into a new file of its owner, and shows it nowhere', async () => {
    const args = ['hosts', 'invite', 'h1', '--save', 'token.txt'];
    for (const json of [[], ['--json']]) {
      const ran = await runCli([...json, ...args], { gateway, cwd });
      expect(ran.code).toBe(0);
      expect(ran.stdout + ran.stderr).not.toContain(token);
      const path = join(cwd, 'token.txt');
      expect(readFileSync(path, 'utf8')).toBe(`${token}\n`);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      rmSync(path);
    }
  });

  it('asks for no invitation when its token could not be written', async () => {
    writeFileSync(join(cwd, 'token.txt'), 'something');
    const ran = await runCli(['hosts', 'invite', 'h1', '--save', 'token.txt'], { gateway, cwd });
    expect(ran.code).toBe(2);
    expect(gateway.received).toEqual([]);
    expect(readFileSync(join(cwd, 'token.txt'), 'utf8')).toBe('something');
  });

  it('leaves no file when there is no token', async () => {
    gateway.answers = {
      'hosts.invite': () => new ProblemError('invalid_transition', 'Host h1 has joined already.'),
    };
    const args = ['hosts', 'invite', 'h1', '--save', 'token.txt'];
    expect((await runCli(args, { gateway, cwd })).stderr).toContain('has joined already');
    gateway.answers = { 'hosts.invite': () => ({ host: 'h1', token: null, expiresAt }) };
    const again = await runCli([...args, '--idempotency-key', 'k'], { gateway, cwd });
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('shown once');
    expect(existsSync(join(cwd, 'token.txt'))).toBe(false);
  });
});

describe('hosts label and remove', () => {
  it('say which labels are set and taken away', async () => {
    gateway.answers = { 'hosts.label': () => aHost({ labels: { zone: 'b' } }) };
    const ran = await runCli(
      ['hosts', 'label', 'h1', '--set', 'zone=b', '--set', 'note=a=b', '--unset', 'rack'],
      { gateway },
    );
    expect(ran.stdout).toBe('Host h1 has the labels {"zone":"b"}.\n');
    expect(gateway.of('hosts.label')[0]?.request).toMatchObject({
      set: { zone: 'b', note: 'a=b' },
      unset: ['rack'],
    });
    expect((await runCli(['hosts', 'label', 'h1'], { gateway })).code).toBe(2);
    expect((await runCli(['hosts', 'label', 'h1', '--set', 'zone='], { gateway })).code).toBe(2);
  });

  it('remove a host for a reason', async () => {
    gateway.answers = { 'hosts.remove': () => aHost() };
    const ran = await runCli(['hosts', 'remove', 'h1', '--reason', 'sold', '--generation', '3'], { gateway });
    expect(ran.stdout).toBe('Host h1 is removed.\n');
    expect(gateway.of('hosts.remove')[0]?.request).toMatchObject({ reason: 'sold', expectedGeneration: 3 });
  });
});

describe('tenants get and update', () => {
  it('shows what is used of each quota', async () => {
    const tenant = aTenant({
      name: 'acme',
      quotas: { bots: 5, cpuMillis: null, memoryMiB: 1000 },
      used: { bots: 2, cpuMillis: 300, memoryMiB: 1200 },
    });
    gateway.answers = { 'tenants.get': () => tenant };
    const { stdout } = await runCli(['tenants', 'get', 'acme'], { gateway });
    expect(stdout).toMatch(/bots to run +2 of 5\n/);
    expect(stdout).toMatch(/CPU +300 m, no quota\n/);
    expect(stdout).toMatch(/memory +1200 of 1000 MiB\n/);
  });

  it('changes what is given, and nothing else', async () => {
    gateway.answers = { 'tenants.update': () => aTenant() };
    const ran = await runCli(
      ['tenants', 'update', 'acme', '--quota-bots', '7', '--quota-memory-mib', 'none', '--priority', '90'],
      { gateway },
    );
    expect(ran.stderr).toBe('');
    expect(gateway.of('tenants.update')[0]?.request).toEqual({
      name: 'acme',
      quotas: { bots: 7, memoryMiB: null },
      priority: 90,
      idempotencyKey: expect.any(String),
    });
    expect((await runCli(['tenants', 'update', 'acme'], { gateway })).code).toBe(2);
    expect((await runCli(['tenants', 'update', 'acme', '--quota-bots', '-1'], { gateway })).code).toBe(2);
  });
});
