import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

const password = 'corréct hörse "battery"';
let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  gateway.answers = {
    'credentials.status': ({ account }) => ({
      account,
      version: 2,
      updatedAt: '2026-01-01T00:00:00.000Z',
      updatedBy: 'user:admin',
      lastGrantedAt: null,
    }),
  };
});
afterEach(() => gateway.stop());

const passwordFile = (content: string, mode = 0o600): string => {
  const path = join(emptyFolder(), 'password');
  writeFileSync(path, content, { mode });
  return path;
};

describe('credentials set', () => {
  it('takes the first line of a file of its owner alone', async () => {
    const path = passwordFile(`${password}\nrest\n`);
    const ran = await runCli(['credentials', 'set', 'a1', '--password-file', path], { gateway });
    expect(ran).toEqual({ code: 0, stdout: 'The password of a1 is stored (version 2).\n', stderr: '' });
    expect(gateway.passwords.get('a1')).toBe(password);
  });

  it('asks twice on a terminal and shows neither', async () => {
    const ran = await runCli(['credentials', 'set', 'a1'], {
      gateway,
      terminal: true,
      typed: [`wrong\x15${password}x\x7f`, password],
    });
    expect(ran.code).toBe(0);
    expect(gateway.passwords.get('a1')).toBe(password);
    expect(ran.stdout + ran.stderr).not.toContain(password);
    expect(ran.stderr).toBe('Password of a1: \nOnce more: \n');
  });

  it.each([
    ['two that differ', ['one', 'two'], 2],
    ['nothing', [''], 2],
    ['more than a password may have', ['x'.repeat(257)], 2],
    ['Ctrl-C', ['abc\x03'], 130],
  ])('changes nothing after %s', async (_, typed, code) => {
    const ran = await runCli(['credentials', 'set', 'a1'], { gateway, terminal: true, typed });
    expect(ran.code).toBe(code);
    expect(gateway.passwords.size).toBe(0);
  });

  it.each([
    ['a file that others can read', () => passwordFile(password, 0o644), 'chmod 600'],
    ['an empty file', () => passwordFile('\n'), 'is empty'],
    ['no file', () => join(emptyFolder(), 'none'), 'ENOENT'],
  ])('refuses %s', async (_, make, said) => {
    const ran = await runCli(['credentials', 'set', 'a1', '--password-file', make()], { gateway });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining(said) as unknown });
    expect(gateway.passwords.size).toBe(0);
  });

  it('takes no password as an argument, nor without a terminal', async () => {
    for (const args of [[password], ['--password', password]]) {
      const ran = await runCli(['credentials', 'set', 'a1', ...args], { gateway });
      expect(ran.code).toBe(2);
    }
    expect((await runCli(['credentials', 'set', 'a1'], { gateway, input: password })).code).toBe(2);
    expect(gateway.passwords.size).toBe(0);
  });

  it('keeps the password out of errors', async () => {
    const path = passwordFile(password);
    await gateway.stop();
    const url = 'http://127.0.0.1:1';
    const env = { TRADEFLEET_GATEWAY_URL: url };
    const ran = await runCli(['credentials', 'set', 'a1', '--password-file', path], { gateway, env });
    expect(ran.code).toBe(3);
    expect(ran.stdout + ran.stderr).not.toContain(password);
    gateway = await new GatewayDouble().start();
  });
});
