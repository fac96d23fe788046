import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GatewayClient } from '#libs/client';
import { SystemClock } from '#libs/clock';
import { repositoryRoot, waitFor } from '#libs/testing';
import { z } from 'zod';
import { distributionOf } from '../control/statistics.js';

export interface TakeoverArguments {
  readonly state: string;
  readonly rounds: number;
  readonly json: boolean;
}

/** How a leader goes. */
const ways = ['SIGKILL', 'SIGSTOP', 'SIGTERM'] as const;
type Way = (typeof ways)[number];

const FleetRecord = z.object({ gatewayUrl: z.string() });
/** What a scheduler logs when it begins to lead. */
const Leading = z.object({
  msg: z.literal('leading'),
  term: z.int(),
  givenUp: z.boolean(),
  watchedMs: z.number().optional(),
  ruleMs: z.number().optional(),
  unrenewedMs: z.number().optional(),
});
type Leading = z.infer<typeof Leading>;

interface Round {
  readonly way: Way;
  /** From the signal until a request is answered by the next leader. */
  readonly answered_ms: number;
  readonly leading: Leading;
}

const answer_ms_max = 60_000;
const poll_ms = 10;
const clock = new SystemClock();

/** Ends the leader of the local fleet that runs, again and again, and measures how long nobody answers. */
export async function takeoverBench({ state, rounds, json }: TakeoverArguments): Promise<void> {
  const folder = resolve(repositoryRoot(), state);
  const { gatewayUrl } = FleetRecord.parse(JSON.parse(readFileSync(join(folder, 'fleet.json'), 'utf8')));
  const token = readFileSync(join(folder, 'keys', 'admin-token'), 'utf8').trim();
  const gateway = new GatewayClient({ url: gatewayUrl, token });
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      measured.push(await oneTakeover(gateway, folder, way));
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  const early = measured.filter(
    ({ leading }) => !leading.givenUp && (leading.watchedMs ?? 0) < (leading.ruleMs ?? Infinity),
  );
  report(measured, json);
  if (early.length > 0) throw new Error(`${early.length} takeovers were earlier than the rule allows.`);
}

async function oneTakeover(gateway: GatewayClient, folder: string, way: Way): Promise<Round> {
  const { term, holder } = await untilThereIsAStandby(gateway, folder);
  const pid = Number(holder.split('/')[1]);
  const began_ms = clock.monotonicMs();
  process.kill(pid, way);
  try {
    const next = await waitFor(
      async () => {
        // A short bound: a request that went to the old leader is never answered.
        const now = await gateway.call('fleet.leader', {}, { timeout_ms: 300 });
        return now.term > term ? now.term : null;
      },
      { timeoutMs: answer_ms_max, intervalMs: poll_ms, what: 'the next leader' },
    );
    const answered_ms = clock.monotonicMs() - began_ms;
    const leading = leadingsIn(folder).find((line) => line.term === next);
    if (leading === undefined) throw new Error(`No log tells of term ${next}.`);
    return { way, answered_ms, leading };
  } finally {
    if (way === 'SIGSTOP') process.kill(pid, 'SIGCONT');
  }
}

/** Without one that waits for the present term, the start of a process would be measured. */
async function untilThereIsAStandby(
  gateway: GatewayClient,
  folder: string,
): Promise<{ term: number; holder: string }> {
  return await waitFor(
    async () => {
      const now = await gateway.call('fleet.leader', {}, { timeout_ms: 2000 });
      const waits = linesIn(folder).some(
        ({ msg, term }) => msg === 'standing by: another scheduler leads' && term === now.term,
      );
      return waits ? now : null;
    },
    { timeoutMs: answer_ms_max, what: 'a standby; start the fleet with --schedulers 2' },
  );
}

function linesIn(folder: string): Record<string, unknown>[] {
  const logs = join(folder, 'logs');
  return readdirSync(logs)
    .filter((name) => /^scheduler(-\d+)?\.log$/.test(name))
    .flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'))
    .filter((line) => line.includes('"leading"') || line.includes('standing by'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const leadingsIn = (folder: string): Leading[] =>
  linesIn(folder).flatMap((line) => {
    const parsed = Leading.safeParse(line);
    return parsed.success ? [parsed.data] : [];
  });

function report(measured: readonly Round[], json: boolean): void {
  const rows = ways.map((way) => {
    const of = measured.filter((round) => round.way === way);
    const watched = of.flatMap(({ leading }) => (leading.watchedMs === undefined ? [] : [leading.watchedMs]));
    return {
      way,
      takeovers: of.length,
      answered: distributionOf(of.map(({ answered_ms }) => answered_ms)),
      /** What the standby had watched, next to what the rule asks for; null where the lead was given up. */
      watchedMinMs: watched.length === 0 ? null : Math.min(...watched),
      ruleMs: of[0]?.leading.ruleMs ?? null,
    };
  });
  if (json) {
    console.log(JSON.stringify(rows, null, 2));
    return;
  }
  for (const { way, takeovers, answered, watchedMinMs, ruleMs } of rows)
    console.log(
      `${way.padEnd(8)} ${takeovers} takeovers   answered again after p50 ${ms(answered?.p50_ms)} p99 ${ms(answered?.p99_ms)}` +
        (watchedMinMs === null
          ? '   (given up)'
          : `   watched at least ${ms(watchedMinMs)}, rule ${ms(ruleMs)}`),
    );
}

const ms = (value: number | null | undefined): string => (value == null ? '–' : `${value.toFixed(0)} ms`);
