import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { aBot, anAccount, aTenant } from '#libs/testing';
import { newId, ProblemError } from '#libs/contracts';
import { apiNames } from '#libs/contracts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, runCli, tokenFile } from './testing/cli.runner.js';
import { GatewayDouble } from './testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

describe('usage', () => {
  it.each([
    [['--help'], 0],
    [['bots', 'create', '--help'], 0],
    [[], 2],
    [['bots'], 2],
    [['nonsense'], 2],
    [['bots', 'list', '--nonsense'], 2],
    [['bots', 'get'], 2],
    [['bots', 'create', 'b1', '--account', 'a1', '--runtime', 'abacus'], 2],
    [['bots', 'create', 'b1', '--account', 'a1', '--runtime', 'paper', '--param', 'no-value'], 2],
    [['bots', 'update', 'b1', '--no-constraints', '--constraint', 'zone exists'], 2],
    [['bots', 'update', 'b1'], 2],
    [['accounts', 'lock', 'a1'], 2],
    [['logs', 'b1', '-n', '0'], 2],
    [['events', '-f', '--from', '1h'], 2],
    [['events', '--from', 'yesterday'], 2],
    [['api', 'bots.invent'], 2],
    [['api', 'bots.get', 'not json'], 2],
    [['api', 'bots.get', '[]'], 2],
    [['api', 'credentials.set', '{}'], 2],
  ])('%j ends with %d', async (args, code) => {
    const ran = await runCli(args, { gateway });
    expect({ code: ran.code, said: ran.stdout + ran.stderr !== '' }).toEqual({ code, said: true });
    expect(gateway.received).toEqual([]);
  });

  it('explains exit codes and global options with every command', async () => {
    const { stdout } = await runCli(['bots', 'stop', '--help']);
    for (const text of ['--gateway', '--token-file', '--json', 'Exit codes:', '4  the operation failed'])
      expect(stdout).toContain(text);
  });
});

describe('which gateway', () => {
  const local = (folder: string, url: string, token: string) => {
    mkdirSync(join(folder, '.tradefleet/keys'), { recursive: true });
    writeFileSync(join(folder, '.tradefleet/fleet.json'), JSON.stringify({ schema: 1, gatewayUrl: url }));
    writeFileSync(join(folder, '.tradefleet/keys/admin-token'), `${token}\n`, { mode: 0o600 });
  };

  it('finds the local fleet from a folder below', async () => {
    const folder = emptyFolder();
    local(folder, gateway.url, gateway.token);
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    gateway.answers = { 'tenants.list': () => ({ tenants: [], next: null }) };
    expect(await runCli(['tenants', 'list'], { cwd: join(folder, 'a/b') })).toEqual({
      ...{ code: 0, stdout: 'No tenants.\n', stderr: '' },
    });
  });

  it('says what to do when none runs', async () => {
    const ran = await runCli(['bots', 'list']);
    expect(ran).toMatchObject({
      code: 3,
      stdout: '',
      stderr: expect.stringContaining('npm start') as unknown,
    });
  });

  it('sends the local token to no other gateway', async () => {
    const folder = emptyFolder();
    local(folder, 'http://127.0.0.1:9', gateway.token);
    const ran = await runCli(['bots', 'list', '--gateway', gateway.url], { cwd: folder });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('--token-file') as unknown });
  });

  it.each(['http://gateway.example', 'ftp://127.0.0.1', 'http://u:p@127.0.0.1', 'x'])(
    'refuses %s',
    async (url) => {
      const ran = await runCli(['bots', 'list', '--gateway', url], { gateway });
      expect(ran).toMatchObject({ code: 2, stdout: '' });
    },
  );

  it('refuses a token that others can read', async () => {
    const folder = emptyFolder();
    const path = join(folder, 'open');
    writeFileSync(path, gateway.token, { mode: 0o644 });
    const ran = await runCli(['bots', 'list', '--gateway', gateway.url, '--token-file', path]);
    expect(ran).toMatchObject({ code: 2, stderr: `Run chmod 600 ${path}: others can read the token.\n` });
  });

  it('takes options before and after the command, and before the environment', async () => {
    const folder = emptyFolder();
    const path = tokenFile(folder, gateway.token);
    gateway.answers = { 'hosts.list': () => ({ hosts: [], next: null }) };
    const env = { TRADEFLEET_GATEWAY_URL: 'http://127.0.0.1:9', TRADEFLEET_TOKEN_FILE: join(folder, 'none') };
    const before = await runCli(['--gateway', gateway.url, '--token-file', path, 'hosts', 'list'], { env });
    const after = await runCli(['hosts', 'list', '--gateway', gateway.url, '--token-file', path], { env });
    expect([before.code, after.code]).toEqual([0, 0]);
  });
});

describe('problems', () => {
  it('shows code and detail, and exits by the code', async () => {
    gateway.answers = {
      'bots.get': ({ name }) => new ProblemError('bot_not_found', `Name a bot: ${name} is none.`),
    };
    expect(await runCli(['bots', 'get', 'b1'], { gateway })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'bot_not_found: Name a bot: b1 is none.\n',
    });
  });

  it('gives machines the problem document', async () => {
    gateway.answers = { 'bots.get': () => new ProblemError('bot_not_found', 'No.') };
    const { stderr } = await runCli(['bots', 'get', 'b1', '--json'], { gateway });
    expect(JSON.parse(stderr)).toMatchObject({ code: 'bot_not_found', status: 404, detail: 'No.' });
  });

  it('exits with 3 when nothing answers, and 1 when the token is wrong', async () => {
    const folder = emptyFolder();
    const path = tokenFile(folder, 'another-token-that-is-long-enough');
    const away = await runCli(['hosts', 'list', '--gateway', 'http://127.0.0.1:1', '--token-file', path]);
    const wrong = await runCli(['hosts', 'list', '--gateway', gateway.url, '--token-file', path]);
    expect([away.code, wrong.code]).toEqual([3, 1]);
    expect(wrong.stderr).toMatch(/^unauthenticated: /);
  });

  it('does not send what cannot be valid', async () => {
    const ran = await runCli(['bots', 'get', 'Not A Name'], { gateway });
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringMatching(/^invalid_request: /) as unknown });
    expect(gateway.received).toEqual([]);
  });
});

describe('output', () => {
  it('is a table for people: aligned, and plain when it is no terminal', async () => {
    const account = anAccount({ name: 'a1', tenant: 't1', server: 'Paper-Demo', login: 42 });
    gateway.answers = { 'accounts.list': () => ({ accounts: [account], next: null }) };
    const { stdout } = await runCli(['accounts', 'list'], { gateway });
    expect(stdout).toBe(
      'account  tenant  server      login  epoch  locked\na1       t1      Paper-Demo     42      0  -\n',
    );
  });

  it('is a JSON document a line for machines', async () => {
    const tenants = [aTenant(), aTenant()];
    gateway.answers = { 'tenants.list': () => ({ tenants, next: null }) };
    const { stdout } = await runCli(['tenants', 'list', '--json'], { gateway });
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(tenants);
  });

  it('has colours on a terminal only, and never with NO_COLOR', async () => {
    const bot = aBot({
      status: { ...aBot().status, phase: 'running', host: 'h' },
    });
    gateway.answers = { 'bots.list': () => ({ bots: [bot], next: null }) };
    const colours = async (options: object) =>
      (await runCli(['bots', 'list'], { gateway, ...options })).stdout.includes('\x1b[');
    expect(await colours({ terminal: true })).toBe(true);
    expect(await colours({ terminal: true, env: { NO_COLOR: '1' } })).toBe(false);
    expect(await colours({ terminal: false })).toBe(false);
  });

  it('shows control characters of others by their code', async () => {
    gateway.lines = [{ at: '2026-01-01T00:00:00.000Z', stream: 'stdout', text: 'a\x1b[2Jb\x07\u202ec' }];
    const { stdout } = await runCli(['logs', 'b1'], { gateway, terminal: true });
    expect(stdout).toBe('2026-01-01T00:00:00.000Z a\\x1b[2Jb\\x07\\u202ec\n');
  });

  it('reads all pages of a list, up to the limit', async () => {
    const all = Array.from({ length: 1100 }, (_, at) => aTenant({ name: `t${String(at).padStart(4, '0')}` }));
    gateway.answers = {
      'tenants.list': ({ limit, after }) => {
        const rest = all.filter(({ name }) => after === undefined || name > after);
        const tenants = rest.slice(0, limit);
        return { tenants, next: rest.length > limit ? (tenants.at(-1)?.name ?? null) : null };
      },
    };
    const count = async (...args: string[]) =>
      (await runCli(['tenants', 'list', '--json', ...args], { gateway })).stdout.trimEnd().split('\n').length;
    expect([await count(), await count('--limit', '600')]).toEqual([1100, 600]);
  });
});

describe('api', () => {
  it('sends any operation as it is', async () => {
    const operation = newId();
    const bot = aBot();
    gateway.answers = { 'bots.stop': () => ({ operation, bot }) };
    const request = { name: 'b1', expectedGeneration: 3, idempotencyKey: 'mine' };
    const { code, stdout } = await runCli(['api', 'bots.stop', JSON.stringify(request)], { gateway });
    expect([code, JSON.parse(stdout)]).toEqual([0, { operation, bot }]);
    expect(gateway.of('bots.stop').map((one) => one.request)).toEqual([request]);
  });

  it('lists every operation in its help', async () => {
    const { stdout } = await runCli(['api', '--help']);
    for (const name of apiNames.filter((one) => one !== 'credentials.set'))
      expect(stdout).toContain(`  ${name} `);
  });
});

describe('writes', () => {
  it('carry a new idempotency key each, and the same one when they are tried again', async () => {
    let calls = 0;
    const tenant = aTenant();
    gateway.answers = {
      'tenants.create': () => {
        calls += 1;
        return calls === 1 ? new ProblemError('timeout', 'No answer.') : tenant;
      },
    };
    expect((await runCli(['tenants', 'create', 't1'], { gateway })).code).toBe(0);
    expect((await runCli(['tenants', 'create', 't1'], { gateway })).code).toBe(0);
    const [first, again, other] = gateway.of('tenants.create').map((one) => one.headers['idempotency-key']);
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  it('tell their key when no answer comes at all', async () => {
    gateway.answers = { 'tenants.create': () => new ProblemError('timeout', 'No answer.') };
    const { code, stderr } = await runCli(['tenants', 'create', 't1', '--idempotency-key', 'k1'], {
      gateway,
    });
    expect(code).toBe(5);
    expect(stderr).toContain('--idempotency-key k1');
    expect(gateway.of('tenants.create')).toHaveLength(3);
  });
});
