import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type SecurityReport } from '#libs/contracts';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const at = '2026-11-16T00:00:00.000Z';

const report: SecurityReport = {
  ...{ week: '2026-W47', from: at, to: '2026-11-23T00:00:00.000Z', closed: true, asOf: 1234 },
  digest: 'd'.repeat(64),
  events: {
    ...{ total: 40, byType: [{ name: 'tradefleet.account.locked', count: 40 }] },
    bySeverity: { low: 0, medium: 0, high: 40, critical: 0 },
  },
  security: {
    ...{ total: 40, byEventType: [{ name: 'configuration_change', count: 40 }] },
    byResult: { success: 37, failure: 0, denied: 3, detected: 0 },
  },
  refused: { total: 3, suppressed: 9, top: [{ action: 'bots.stop', code: 'bot_not_found', count: 3 }] },
  actors: [{ name: 'user:ada', count: 37 }],
  unusual: { total: 1, byRule: [{ name: 'failed-logins', count: 1 }] },
  gaps: { found: 2, refilled: 1, lost: 1, eventsLost: 5 },
  quarantined: { total: 0, byCode: [] },
  checkpoints: { total: 8, last: { size: 1200, root: 'cm9vdA==', at }, diverged: 0 },
  hosts: { registered: [{ name: 'host-a', count: 2 }], removed: [] },
  credentialsSet: { total: 0, accounts: [] },
};

describe('audit, what concerns security', () => {
  it('shows security events by the filters that are given', async () => {
    const event = {
      ...{ timestamp: at, event_type: 'admin_access' as const, severity: 'high' as const },
      ...{ user_id: 'user:eve', ip_address: null, action: 'bots.stop', details: {} },
      ...{ result: 'denied' as const, event_id: newId() },
    };
    gateway.answers = { 'security.events': () => ({ events: [event], next: null }) };
    const args = ['--result', 'denied', '--severity', 'high', '--user', 'user:eve', '--kind', 'admin_access'];
    const ran = await runCli(['audit', 'security', ...args, '--from', '2026-11-16'], { gateway });
    expect(ran.stdout).toMatch(/high +denied +admin_access +bots\.stop +user:eve/);
    expect(gateway.of('security.events')[0]?.request).toMatchObject({
      ...{ eventType: 'admin_access', result: 'denied', severity: 'high', user: 'user:eve', from: at },
    });
  });

  it('shows unusual activity', async () => {
    const activity = {
      ...{ id: newId(), rule: 'failed-logins' as const, who: 'ip:192.0.2.7', from: at, to: at },
      ...{ count: 7, threshold: 5, detail: 'seven', noticedAt: at },
    };
    gateway.answers = { 'security.unusual': () => ({ activity: [activity], next: null }) };
    const ran = await runCli(['audit', 'unusual', '--rule', 'failed-logins'], { gateway });
    expect(ran.stdout).toMatch(/failed-logins +ip:192\.0\.2\.7 .* 7 +5/);
    expect(gateway.of('security.unusual')[0]?.request).toMatchObject({ rule: 'failed-logins' });
  });

  it('shows the report of a week to people and to machines', async () => {
    gateway.answers = { 'security.report': () => report };
    const ran = await runCli(['audit', 'report', '--week', '2026-W47'], { gateway });
    expect(gateway.of('security.report')[0]?.request).toEqual({ week: '2026-W47' });
    for (const text of [
      /week +2026-W47, 2026-11-16/,
      /state +closed, SHA-256 dddd/,
      /events +40: 0 low, 0 medium, 40 high, 0 critical/,
      /refused +3, and 9 counted only/,
      /events lost +5/,
      /checkpoints +8, the last of 1200 records/,
      /bots\.stop +bot_not_found +3/,
      /user:ada +37/,
      /failed-logins +1/,
      /host-a +2/,
    ])
      expect(ran.stdout).toMatch(text);
    const machine = await runCli(['audit', 'report', '--json'], { gateway });
    expect(JSON.parse(machine.stdout)).toEqual(report);
    expect((await runCli(['audit', 'report', '--week', 'last'], { gateway })).stderr).toMatch(/2026-W47/);
  });
});
