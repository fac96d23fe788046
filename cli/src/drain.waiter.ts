import { type Drain, type Host, type Move, ProblemError } from '#libs/contracts';
import { type ExitCode, exitCodes } from './exit.codes.js';
import { isPassing } from './fleet.gateway.js';
import { gapText } from './output/move.views.js';
import type { Session } from './session.js';

const ask_every_ms = 500;
/** Moves that are looked at for the summary. */
const moves_max = 10_000;

/**
 * Waits until a host is empty, shows how far it is, and says how long its bots did not run. While the scheduler does
 * not answer (it may be restarting) it is asked again. Exit codes: ok, operationFailed (the drain was ended, or its
 * deadline has passed and bots stay), timeout.
 */
export async function waitForDrain(
  name: string,
  timeout_s: number,
  session: Session,
): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const giveUp_ms = surroundings.clock.monotonicMs() + timeout_s * 1000;
  let known: Host | null = null;
  for (;;) {
    try {
      const host = await gateway.call('hosts.get', { name });
      known = host;
      if (
        host.drain === null ||
        host.drain.endedAt !== null ||
        isOverdue(host.drain, surroundings.clock.wallMs())
      )
        return await summary(host, session);
      printer.progress(progressOf(host.name, host.drain));
    } catch (error) {
      if (!isPassing(error)) throw error;
      printer.progress(`${name}: the scheduler does not answer; waiting`);
    }
    if (surroundings.clock.monotonicMs() >= giveUp_ms) throw overdue(name, timeout_s, known?.drain ?? null);
    await surroundings.clock.sleep(ask_every_ms, surroundings.interrupted);
  }
}

async function summary(host: Host, session: Session): Promise<ExitCode | undefined> {
  const { gateway, printer } = session;
  const { drain } = host;
  if (drain === null) {
    printer.answer(host, () => printer.line(`The drain of host ${host.name} was ended.`, 'bad'));
    return exitCodes.operationFailed;
  }
  const moves = await gateway.list('moves.list', 'moves', { host: host.name }, moves_max);
  const gaps = gapText(moves.filter((move) => isOf(move, host.name, drain)));
  if (drain.endedAt === null) {
    const left = `${drain.waiting + drain.moving} of ${drain.total} bots are still on host ${host.name}`;
    printer.answer(host, () =>
      printer.line(`The deadline has passed: ${left} and go on there. ${gaps}`, 'bad'),
    );
    return exitCodes.operationFailed;
  }
  printer.answer(host, () =>
    printer.line(`Host ${host.name} is empty: ${drain.moved} bots have left. ${gaps}`),
  );
  return undefined;
}

const isOf = (move: Move, host: string, { at }: Drain): boolean =>
  move.from === host && move.reason === 'drain' && move.createdAt >= at;

const isOverdue = ({ deadlineAt, onDeadline, moving }: Drain, now_ms: number): boolean =>
  deadlineAt !== null && onDeadline === 'keep' && moving === 0 && now_ms > Date.parse(deadlineAt);

const progressOf = (host: string, { moved, total, moving, waiting }: Drain): string =>
  `${host}: ${moved} of ${total} bots moved, ${moving} on their way, ${waiting} waiting`;

function overdue(host: string, timeout_s: number, drain: Drain | null): ProblemError {
  const far = drain === null ? 'no answer' : progressOf(host, drain);
  return new ProblemError(
    'timeout',
    `The host is not empty after ${timeout_s} s (${far}); the drain goes on. Look again: tradefleet hosts get ${host}.`,
  );
}
