import { afterEach, describe, expect, it } from '@jest/globals';
import { loadConfig, ConfigurationError } from '#libs/config';
import { errorCodeNames, eventTypes } from '#libs/contracts';
import { repositoryRoot } from '#libs/testing';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentConfig } from '../../../services/agent/src/agent.config.js';
import { AuditConfig } from '../../../services/audit/src/audit.config.js';
import { GatewaySettings } from '../../../services/gateway/src/gateway.config.js';
import { SchedulerConfig } from '../../../services/scheduler/src/scheduler.config.js';
import { SecretsConfig } from '../../../services/secrets/src/secrets.config.js';
import { decisionIndex } from './adr.index.js';
import { configurationPage } from './configuration.page.js';
import { errorsPage } from './errors.page.js';
import { eventsPage } from './events.page.js';
import { table } from './markdown.js';
import { settingSources } from './setting.sources.js';
import { subjectsPage } from './subjects.page.js';

/** Cells of the row that begins with this code. */
const folders: string[] = [];
function aFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-generate-'));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
const rowOf = (text: string, first: string): string[] =>
  (text.split('\n').find((line) => line.startsWith(`| \`${first}\` |`)) ?? '')
    .split(' | ')
    .map((cell) => cell.replace(/^\| | \|$/g, ''));

describe('errorsPage', () => {
  it('has every code, with its operations', () => {
    const text = errorsPage();
    for (const code of errorCodeNames) expect(rowOf(text, code)).toHaveLength(5);
    expect(rowOf(text, 'stale_plan')).toEqual([
      '`stale_plan`',
      '409',
      'The fleet has changed since the plan was made',
      'no',
      '`fleet.apply`, `rollouts.create`, `fleet.rebalance`',
    ]);
  });
});

describe('eventsPage', () => {
  it('has every event, with its producers and subject', () => {
    const text = eventsPage();
    for (const type of Object.keys(eventTypes)) expect(rowOf(text, type)).toHaveLength(6);
    expect(rowOf(text, 'tradefleet.grant.issued').slice(0, 5)).toEqual([
      '`tradefleet.grant.issued`',
      'notice',
      '5 years',
      'secrets',
      '`fleet.v1.evt.grant.<grant>.issued`',
    ]);
  });
});

describe('subjectsPage', () => {
  it.each([
    ['fleet.v1.api.bots.create', 'gateway, client', 'scheduler'],
    ['fleet.v1.agent.<host>.heartbeat', 'agent-<host>', 'scheduler'],
    ['fleet.v1.agent.<host>.logs', 'gateway', 'agent-<host>'],
    ['fleet.v1.host.<host>.cmd.>', 'scheduler', 'consumer `agent-<host>`'],
    ['fleet.v1.evt.bot.*.created', 'scheduler', 'consumer `audit`, gateway (live)'],
    [
      'fleet.v1.evt.allocation.*.running',
      'agent-<host>',
      'consumer `scheduler-projection`, consumer `audit`, gateway (live)',
    ],
  ])('tells who publishes and who consumes %s', (subject, publishes, consumes) => {
    expect(rowOf(subjectsPage(), subject)).toEqual([`\`${subject}\``, publishes, consumes]);
  });

  it('leaves no subject without somebody at the other end, but what is kept for people to look at', () => {
    const rows = subjectsPage()
      .split('\n')
      .filter((line) => line.startsWith('| `fleet.v1.'))
      .map((line) => line.split(' | '));
    const alone = rows.filter(
      ([, publishes = '', consumes = '']) => publishes.trim() === '' || /^ *\|?$/.test(consumes),
    );
    expect(alone.filter(([subject = '']) => !/\.dead\.|\.log\.checkpoint/.test(subject))).toEqual([]);
  });
});

describe('configurationPage', () => {
  const page = configurationPage(repositoryRoot());

  it.each([
    ['scheduler', SchedulerConfig],
    ['agent', AgentConfig],
    ['audit', AuditConfig],
    ['secrets', SecretsConfig],
    ['gateway', GatewaySettings],
  ])('marks as secret what the %s treats as secret', (name, schema) => {
    const open = join(aFolder(), 'value');
    writeFileSync(open, 'value', { mode: 0o644 });
    const [, section = ''] = page.split(`## ${name}\n`);
    const variables = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| `(TRADEFLEET_\w+)` \|/gm)].map(
      ([, v]) => v ?? '',
    );
    expect(variables).toHaveLength(Object.keys(schema.shape).length);
    for (const variable of variables) {
      const told = rowOf(section, variable)[3] === 'yes';
      expect({ variable, secret: refusesOpenFile(schema, variable, open) }).toEqual({
        variable,
        secret: told,
      });
    }
  });

  function refusesOpenFile(
    schema: Parameters<typeof loadConfig>[0],
    variable: string,
    path: string,
  ): boolean {
    try {
      loadConfig(schema, { prefix: 'TRADEFLEET_', env: { [`${variable}_FILE`]: path } });
      return false;
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      return error.faults.some((fault) => fault.startsWith('Run chmod 0600'));
    }
  }

  it('says type, default and meaning', () => {
    expect(rowOf(page, 'TRADEFLEET_LEASE_TTL_MS').slice(1, 3)).toEqual([
      'whole number from 1000 to 600000',
      '`15000`',
    ]);
    expect(rowOf(page, 'TRADEFLEET_DRIVER')[1]).toBe('`docker`, `process`, `simulated`');
    expect(rowOf(page, 'TRADEFLEET_ADMIN_TOKEN').slice(2, 4)).toEqual(['required', 'yes']);
  });
});

describe('settingSources', () => {
  it('takes the comment before a field and whether it is secret', () => {
    const source = `export const C = z.strictObject({
  /** One line. */
  natsUrl: z.string(),
  /**
   * Two
   * lines.
   */
  token: secret(z.string()),
  plain: z
    .int()
    .min(1),
});
`;
    expect(Object.fromEntries(settingSources([source]))).toEqual({
      natsUrl: { comment: 'One line.', secret: false },
      token: { comment: 'Two lines.', secret: true },
      plain: { comment: '', secret: false },
    });
  });
});

describe('decisionIndex', () => {
  it('lists decisions by number and refuses one without title or state', () => {
    const root = aFolder();
    mkdirSync(join(root, 'docs/adr'), { recursive: true });
    writeFileSync(join(root, 'docs/adr/0002-b.md'), '# 0002: B\n\nState: accepted\n');
    writeFileSync(join(root, 'docs/adr/0001-a.md'), '# 0001: A\n\nState: replaced by 0002\n');
    expect(decisionIndex(root)).toContain(
      '| [0001](0001-a.md) | A | replaced by 0002 |\n| [0002](0002-b.md) | B | accepted |',
    );
    writeFileSync(join(root, 'docs/adr/0003-c.md'), 'C\n');
    expect(() => decisionIndex(root)).toThrow('0003-c.md');
  });
});

describe('table', () => {
  it('escapes bars and joins lines', () => {
    expect(table(['a'], [['x | y\nz']])).toBe('| a |\n| --- |\n| x \\| y z |');
  });
});
