import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { z } from 'zod';
import { ConfigModule } from './config.module.js';
import { ConfigurationError, loadConfig, remedied, secret } from './load-config.js';

const Config = z.object({
  natsUrl: z.url(),
  natsPassword: secret(z.string().min(8)).optional(),
  poolMax: z.int().min(1).max(100).default(10),
  leaseTtlMs: z.number().default(15_000),
  enabled: z.boolean().default(false),
  runtimes: z.array(z.enum(['paper', 'mt5'])).default(['paper']),
  ports: z.array(z.int()).optional(),
  labels: z.record(z.string(), z.string()).default({}),
  driver: z.enum(['docker', 'process']).nullable().default(null),
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tradefleet-config-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function file(name: string, content: string, mode = 0o600): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content, { mode });
  await chmod(path, mode);
  return path;
}

const load = (env: Record<string, string>) =>
  loadConfig(Config, {
    prefix: 'TRADEFLEET_',
    env: { TRADEFLEET_NATS_URL: 'nats://127.0.0.1:4222', ...env },
  });

function faultsOf(env: Record<string, string>, schema: z.ZodObject = Config): readonly string[] {
  try {
    loadConfig(schema, { prefix: 'TRADEFLEET_', env });
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw error;
  }
  throw new Error('there were no faults');
}

describe('loadConfig', () => {
  it('reads strings, numbers, booleans, lists and objects, and fills in defaults', () => {
    expect(
      load({
        TRADEFLEET_POOL_MAX: '25',
        TRADEFLEET_LEASE_TTL_MS: '1.5',
        TRADEFLEET_ENABLED: 'TRUE',
        TRADEFLEET_RUNTIMES: 'paper, mt5',
        TRADEFLEET_PORTS: '[80, 443]',
        TRADEFLEET_LABELS: '{"zone":"eu"}',
        TRADEFLEET_DRIVER: 'docker',
        PATH: '/bin',
      }),
    ).toEqual({
      natsUrl: 'nats://127.0.0.1:4222',
      poolMax: 25,
      leaseTtlMs: 1.5,
      enabled: true,
      runtimes: ['paper', 'mt5'],
      ports: [80, 443],
      labels: { zone: 'eu' },
      driver: 'docker',
    });
    expect(load({ TRADEFLEET_ENABLED: '0', TRADEFLEET_PORTS: '1,2' })).toMatchObject({
      enabled: false,
      ports: [1, 2],
      poolMax: 10,
    });
  });

  it('reads a value from a file, without the newline at its end', async () => {
    const path = await file('password', 'hunter22 \n');
    expect(load({ TRADEFLEET_NATS_PASSWORD_FILE: path }).natsPassword).toBe('hunter22 ');
    const open = await file('url', 'nats://10.0.0.1:4222\r\n', 0o644);
    expect(
      loadConfig(Config, { prefix: 'TRADEFLEET_', env: { TRADEFLEET_NATS_URL_FILE: open } }).natsUrl,
    ).toBe('nats://10.0.0.1:4222');
  });

  it('tells every fault at once, each with what to do', () => {
    const faults = faultsOf({
      TRADEFLEET_POOL_MAX: 'many',
      TRADEFLEET_ENABLED: 'maybe',
      TRADEFLEET_RUNTIMES: 'paper,mt6',
      TRADEFLEET_LABELS: '{broken',
      TRADEFLEET_NATS_ULR: 'nats://x',
      TRADEFLEET_COMPLETELY_ELSE: '1',
    });
    expect(faults).toHaveLength(7);
    const text = faults.join('\n');
    expect(text).toMatch(/Set TRADEFLEET_NATS_URL \(or TRADEFLEET_NATS_URL_FILE\)/);
    expect(text).toMatch(/Remove TRADEFLEET_NATS_ULR.*did you mean TRADEFLEET_NATS_URL\?/);
    expect(text).toMatch(/Remove TRADEFLEET_COMPLETELY_ELSE: there is no such setting$/m);
    expect(text).toMatch(/Correct TRADEFLEET_POOL_MAX/);
    expect(text).toMatch(/Correct TRADEFLEET_ENABLED/);
    expect(text).toMatch(/Correct TRADEFLEET_RUNTIMES at 1/);
    expect(text).toMatch(/Correct TRADEFLEET_LABELS/);
  });

  it.each([
    ['an empty number', { TRADEFLEET_POOL_MAX: '' }, /TRADEFLEET_POOL_MAX/],
    ['a number out of bounds', { TRADEFLEET_POOL_MAX: '101' }, /TRADEFLEET_POOL_MAX/],
    ['a broken number', { TRADEFLEET_POOL_MAX: '1e999' }, /TRADEFLEET_POOL_MAX/],
    ['a value that is none of those allowed', { TRADEFLEET_DRIVER: 'podman' }, /TRADEFLEET_DRIVER/],
  ] as [string, Record<string, string>, RegExp][])('refuses %s', (_what, env, pattern) => {
    expect(faultsOf({ TRADEFLEET_NATS_URL: 'nats://x:1', ...env }).join()).toMatch(pattern);
  });

  it('refuses a value given twice', async () => {
    const path = await file('twice', 'nats://x:1');
    const faults = faultsOf({ TRADEFLEET_NATS_URL: 'nats://x:1', TRADEFLEET_NATS_URL_FILE: path });
    expect(faults).toEqual(['Set TRADEFLEET_NATS_URL or TRADEFLEET_NATS_URL_FILE, not both.']);
  });

  it('refuses a secret that others may read, and a file that is missing or too large', async () => {
    const url = { TRADEFLEET_NATS_URL: 'nats://x:1' };
    const open = await file('open', 'hunter22', 0o644);
    expect(faultsOf({ ...url, TRADEFLEET_NATS_PASSWORD_FILE: open })).toEqual([
      expect.stringMatching(/chmod 0600/),
    ]);
    const missing = join(folder, 'none');
    expect(faultsOf({ ...url, TRADEFLEET_NATS_PASSWORD_FILE: missing })[0]).toMatch(/ENOENT/);
    const large = await file('large', 'x'.repeat(70_000));
    expect(faultsOf({ ...url, TRADEFLEET_NATS_PASSWORD_FILE: large })[0]).toMatch(/at most 65536 bytes/);
  });

  it('says of what is missing what to set it to, where the schema does', () => {
    const schema = z.object({ key: remedied(z.string(), 'the public half of it.'), other: z.string() });
    expect(faultsOf({}, schema)).toEqual([
      'Set TRADEFLEET_KEY (or TRADEFLEET_KEY_FILE): the public half of it.',
      'Set TRADEFLEET_OTHER (or TRADEFLEET_OTHER_FILE).',
    ]);
  });

  it('never quotes a secret', async () => {
    const path = await file('short', 'hunter2');
    for (const env of [{ TRADEFLEET_NATS_PASSWORD: 'hunter2' }, { TRADEFLEET_NATS_PASSWORD_FILE: path }]) {
      const faults = faultsOf({ TRADEFLEET_NATS_URL: 'nats://x:1', ...env });
      expect(faults).toHaveLength(1);
      expect(faults.join()).toMatch(/TRADEFLEET_NATS_PASSWORD/);
      expect(faults.join()).not.toContain('hunter2');
    }
  });
});

describe('ConfigModule', () => {
  const TOKEN = Symbol('TestConfig');

  @Injectable()
  class User {
    constructor(@Inject(TOKEN) readonly config: z.output<typeof Config>) {}
  }
  const moduleWith = (env: NodeJS.ProcessEnv) => {
    @Module({
      imports: [ConfigModule.forRoot(TOKEN, Config, { prefix: 'TRADEFLEET_', env })],
      providers: [User],
    })
    class AppModule {}
    return AppModule;
  };

  it('provides the configuration', async () => {
    const App = moduleWith({ TRADEFLEET_NATS_URL: 'nats://x:1' });
    const app = await NestFactory.createApplicationContext(App, { logger: false });
    expect(app.get(User).config.natsUrl).toBe('nats://x:1');
    await app.close();
  });

  it('fails the start when it is wrong', async () => {
    const start = NestFactory.createApplicationContext(moduleWith({}), {
      logger: false,
      abortOnError: false,
    });
    await expect(start).rejects.toThrow(/Set TRADEFLEET_NATS_URL/);
  });
});
