import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const at = '2026-01-01T00:00:00.000Z';
const incarnation = newId();

describe('audit', () => {
  it('shows producers, and what is missing of them', async () => {
    gateway.answers = {
      'producers.list': () => ({
        producers: [
          {
            ...{ source: '/scheduler', incarnation, upTo: 4, highest: 12 },
            missing: [
              [5, 5],
              [8, 10],
            ],
            ...{ firstSeenAt: at, changedAt: at },
          },
        ],
        next: null,
      }),
    };
    const ran = await runCli(['audit', 'producers', '--incomplete', '--source', '/scheduler'], { gateway });
    expect(ran.stdout).toMatch(/\/scheduler +[0-9a-f-]{36} +4 +12 +5 8-10 +2026/);
    expect(gateway.of('producers.list')[0]?.request).toMatchObject({
      incomplete: true,
      source: '/scheduler',
    });
  });

  it('shows gaps', async () => {
    const gap = {
      ...{ id: newId(), source: '/agent/h1', incarnation, first: 3, last: 9, state: 'lost' as const },
      ...{ lost: 7, detail: null, foundAt: at, closedAt: at },
    };
    gateway.answers = { 'gaps.list': () => ({ gaps: [gap], next: null }) };
    const ran = await runCli(['audit', 'gaps', '--state', 'lost'], { gateway });
    expect(ran.stdout).toMatch(/\/agent\/h1 .* 3-9 +lost +7/);
    expect(gateway.of('gaps.list')[0]?.request).toMatchObject({ state: 'lost' });
  });

  it('shows what was put aside, and refuses a code that does not exist', async () => {
    const message = {
      ...{ digest: 'a'.repeat(64), subject: 'fleet.v1.evt.bot.b1.created', code: 'bad_signature' as const },
      ...{ reason: 'no key fits', source: '/scheduler', recordedAt: at },
    };
    gateway.answers = { 'quarantine.list': () => ({ messages: [message], next: null }) };
    const ran = await runCli(['audit', 'quarantine', '--code', 'bad_signature'], { gateway });
    expect(ran.stdout).toMatch(/bad_signature +\/scheduler +fleet\.v1\.evt\.bot\.b1\.created +no key fits/);
    expect((await runCli(['audit', 'quarantine', '--code', 'nonsense'], { gateway })).stderr).toMatch(
      /bad_signature/,
    );
  });
});
