import type { Move, RebalancePlanned } from '#libs/contracts';
import type { Printer, Tone } from './printer.js';
import type { TableView } from './views.js';

const moveTones: Record<Move['state'], Tone> = {
  planned: 'busy',
  preparing: 'busy',
  prepared: 'busy',
  switching: 'busy',
  done: 'good',
  cancelled: 'dim',
  failed: 'bad',
};

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

export const moveView: TableView<Move> = {
  columns: [
    ...['move', 'bot', 'from', 'to', 'why', 'state', 'prepared'].map((head) => ({ head })),
    { head: 'gap', align: 'right' },
    ...['updated', 'detail'].map((head) => ({ head })),
  ],
  cells: (move) => [
    move.id,
    move.bot,
    move.from,
    move.to,
    move.reason,
    { text: move.state, tone: moveTones[move.state] },
    move.prepared ? 'yes' : 'no',
    move.gapMs === null ? null : seconds(move.gapMs),
    move.updatedAt,
    move.detail,
  ],
};

/** How long bots did not run while they were moved; empty when none was. */
export function gapText(moves: readonly Move[]): string {
  const gaps = moves.flatMap(({ gapMs }) => (gapMs === null ? [] : [gapMs])).sort((a, b) => a - b);
  const middle = gaps[Math.floor(gaps.length / 2)];
  const longest = gaps.at(-1);
  if (middle === undefined || longest === undefined) return '';
  return `They did not run for ${seconds(middle)} at the median, ${seconds(longest)} at most.`;
}

/** Each move, and how full hosts are before and after. */
export function showRebalance(printer: Printer, { moves, hosts, spread }: RebalancePlanned): void {
  printer.table(
    [{ head: 'host' }, { head: 'load %', align: 'right' }, { head: 'after %', align: 'right' }],
    hosts.map(({ host, before, after }) => [host, before.toFixed(1), after.toFixed(1)]),
  );
  if (moves.length === 0) {
    printer.line(
      `Nothing to move: the fullest and the emptiest host differ by ${spread.before.toFixed(1)} %.`,
    );
    return;
  }
  printer.table(
    ['bot', 'from', 'to'].map((head) => ({ head })),
    moves.map(({ bot, from, to }) => [bot, from, to]),
  );
  printer.line(
    `${moves.length} bots are moved; hosts then differ by ${spread.after.toFixed(1)} % instead of ${spread.before.toFixed(1)} %.`,
  );
}
