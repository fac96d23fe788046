import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type PlanChange, ProblemError } from '#libs/contracts';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
let cwd: string;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  cwd = emptyFolder();
});
afterEach(() => gateway.stop());

const version = 'a'.repeat(64);
const manifest = `apiVersion: tradefleet/v1
tenants:
  - name: acme
    accounts:
      - { name: acme-1, server: Paper-Demo, login: 1 }
    bots:
      - name: b1
        account: acme-1
        runtime: paper
`;
const changes: PlanChange[] = [
  { action: 'create', entity: 'tenant', name: 'acme', fields: [], restarts: false },
  {
    action: 'update',
    entity: 'bot',
    name: 'b1',
    fields: [{ path: 'parameters.fast', from: 5, to: 8 }],
    restarts: true,
  },
];
const file = (text: string, name = 'fleet.yaml'): string => {
  writeFileSync(join(cwd, name), text);
  return name;
};

describe('plan', () => {
  it('shows each change, its fields and the counts', async () => {
    gateway.answers = { 'fleet.plan': () => ({ version, changes, unchanged: 3 }) };
    const ran = await runCli(['plan', file(manifest)], { gateway, cwd });
    expect(ran).toEqual({
      code: 0,
      stdout: [
        '+ tenant acme',
        '~ bot b1 (the running bot is replaced)',
        '    parameters.fast: 5 -> 8',
        '1 to create, 1 to update, 0 to delete, 3 unchanged.',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  it('takes JSON and standard input', async () => {
    gateway.answers = { 'fleet.plan': () => ({ version, changes: [], unchanged: 0 }) };
    const json = JSON.stringify({ apiVersion: 'tradefleet/v1', tenants: [{ name: 'acme' }] });
    const asJson = await runCli(['plan', file(json, 'fleet.json')], { gateway, cwd });
    const asInput = await runCli(['plan', '-'], { gateway, cwd, input: manifest });
    expect([asJson.code, asInput.code]).toEqual([0, 0]);
    expect(gateway.of('fleet.plan')).toHaveLength(2);
  });

  it.each([
    ['a wrong value', manifest.replace('paper', 'abacus'), 'fleet.yaml:9:18: tenants.0.bots.0.runtime: '],
    [
      'a missing field',
      manifest.replace('        runtime: paper\n', ''),
      'fleet.yaml:7:9: tenants.0.bots.0.runtime: ',
    ],
    ['an unknown field', manifest.replace('runtime:', 'Runtime:'), 'fleet.yaml:7:9: tenants.0.bots.0: '],
    ['broken YAML', manifest.replace('- name: acme', '- name: ["acme"'), 'fleet.yaml:'],
    ['a key given twice', `${manifest}apiVersion: tradefleet/v1\n`, 'fleet.yaml:10:1: '],
    ['nothing', '', 'fleet.yaml is empty'],
    ['two documents', `${manifest}---\n${manifest}`, 'Put one document into fleet.yaml'],
  ])('tells where %s stands, and sends nothing', async (_, text, place) => {
    const ran = await runCli(['plan', file(text)], { gateway, cwd });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^invalid_request: /);
    expect(ran.stderr).toContain(place);
    expect(gateway.received).toEqual([]);
  });

  it('tells the line of what only the scheduler knows', async () => {
    gateway.answers = {
      'fleet.plan': () =>
        new ProblemError('invalid_request', 'Correct it.', {
          errors: [{ path: 'tenants.0.bots.0.account', message: "account 'acme-1' has a bot already" }],
        }),
    };
    const { stderr } = await runCli(['plan', file(manifest)], { gateway, cwd });
    expect(stderr).toContain("fleet.yaml:8:18: tenants.0.bots.0.account: account 'acme-1' has a bot already");
  });

  it('says so when the file is not there', async () => {
    expect(await runCli(['plan', 'none.yaml'], { gateway, cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ENOENT') as unknown,
    });
  });
});

describe('apply', () => {
  beforeEach(() => {
    gateway.answers = {
      'fleet.plan': () => ({ version, changes, unchanged: 0 }),
      'fleet.apply': () => ({ operation: newId(), changes }),
    };
  });

  it('needs --yes without a terminal, before it sends anything', async () => {
    const ran = await runCli(['apply', file(manifest)], { gateway, cwd });
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') as unknown });
    expect(gateway.received).toEqual([]);
  });

  it('carries out the plan it showed, under its version', async () => {
    const ran = await runCli(['apply', file(manifest), '--yes'], { gateway, cwd });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/\+ tenant acme[^]*Accepted: operation /);
    expect(gateway.of('fleet.apply')[0]?.request).toMatchObject({ version });
    expect(gateway.of('fleet.apply')[0]?.request['idempotencyKey']).toBeDefined();
  });

  it.each([
    ['y', 0, 1],
    ['yes', 0, 1],
    ['n', 1, 0],
    ['', 1, 0],
  ])('asks on a terminal; %j ends with %d', async (answer, code, applied) => {
    const ran = await runCli(['apply', file(manifest)], { gateway, cwd, terminal: true, typed: [answer] });
    expect(ran.code).toBe(code);
    expect(ran.stderr).toContain('Carry out 2 changes? [y/N] ');
    expect(gateway.of('fleet.apply')).toHaveLength(applied);
  });

  it('does nothing when there is nothing to do', async () => {
    gateway.answers['fleet.plan'] = () => ({ version, changes: [], unchanged: 2 });
    const ran = await runCli(['apply', file(manifest), '--yes', '--json'], { gateway, cwd });
    expect(ran).toEqual({ code: 0, stdout: '{"operation":null,"changes":[]}\n', stderr: '' });
    expect(gateway.of('fleet.apply')).toEqual([]);
  });

  it('is refused when the fleet has changed since', async () => {
    gateway.answers['fleet.apply'] = () => new ProblemError('stale_plan', 'Plan again.');
    const ran = await runCli(['apply', file(manifest), '--yes'], { gateway, cwd });
    expect(ran).toMatchObject({ code: 1, stderr: 'stale_plan: Plan again.\n' });
  });
});
