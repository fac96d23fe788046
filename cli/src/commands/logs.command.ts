import { ProblemError } from '#libs/contracts';
import { Command } from 'commander';
import { isPassing } from '../fleet.gateway.js';
import { integer } from '../option.values.js';
import type { Perform, Session } from '../session.js';

const lines_max = 1000;
const poll_ms = 1000;
/** Polls without an answer, one after the other, before it is given up. */
const failures_max = 30;

type Line = Awaited<ReturnType<Session['gateway']['logs']>>[number];

export function logsCommand(perform: Perform): Command {
  return new Command('logs')
    .argument('<bot>')
    .description("show the last lines of a bot's output")
    .option('-n, --lines <n>', `how many, at most ${lines_max}`, integer(1, lines_max), 100)
    .option('-f, --follow', 'go on with new lines; asks every second', false)
    .action((bot: string, options: { lines: number; follow: boolean }, command: Command) =>
      perform(command, async (session) => {
        const lines = await session.gateway.logs(bot, options.lines);
        print(lines, session);
        if (options.follow) await follow(bot, lines, session);
        return undefined;
      }),
    );
}

async function follow(bot: string, shown: readonly Line[], session: Session): Promise<never> {
  const { gateway, printer, surroundings } = session;
  let before = shown;
  let failures = 0;
  for (;;) {
    await surroundings.clock.sleep(poll_ms, surroundings.interrupted);
    try {
      const now = await gateway.logs(bot, lines_max);
      failures = 0;
      const fresh = newLines(before, now);
      if (fresh.length === lines_max)
        printer.note('There was more than can be shown; some lines are left out.');
      print(fresh, session);
      before = now;
    } catch (error) {
      failures += 1;
      if (!(isPassing(error) || isBetween(error)) || failures >= failures_max) throw error;
    }
  }
}

/** The last container is gone and the next one not there yet: a bot that was replaced, or is tried again. */
const isBetween = (error: unknown): boolean =>
  error instanceof ProblemError && (error.code === 'bot_not_found' || error.code === 'invalid_transition');

/**
 * Lines of `now` that come after those of `before`: what follows the longest end of `before` that `now` holds. Two
 * windows over one log share such an end unless more lines were written in between than a window has.
 */
export function newLines(before: readonly Line[], now: readonly Line[]): readonly Line[] {
  const last = before.at(-1);
  if (last === undefined) return now;
  for (let end = now.length - 1; end >= 0; end -= 1) {
    if (!same(now[end], last)) continue;
    const length = Math.min(end + 1, before.length);
    const overlaps = Array.from({ length }, (_, back) => back).every((back) =>
      same(now[end - back], before[before.length - 1 - back]),
    );
    if (overlaps) return now.slice(end + 1);
  }
  return now;
}

const same = (a: Line | undefined, b: Line | undefined): boolean =>
  a !== undefined && b !== undefined && a.at === b.at && a.stream === b.stream && a.text === b.text;

function print(lines: readonly Line[], { printer }: Session): void {
  for (const line of lines) printer.answer(line, () => printer.line(`${line.at} ${line.text}`));
}
