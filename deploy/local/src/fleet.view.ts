import Table from 'cli-table3';
import type { Bot, Host } from '#libs/contracts';

/** Numbers of the fleet in one line. */
export function summaryLine(bots: readonly Bot[], hosts: readonly Host[]): string {
  const running = bots.filter((bot) => bot.status.phase === 'running').length;
  const wanted = bots.filter((bot) => bot.desired === 'running').length;
  const queued = bots.filter((bot) => bot.status.phase === 'queued').length;
  const ready = hosts.filter((host) => host.state === 'ready').length;
  const parts = [`${running} of ${wanted} bots running`, `${ready} of ${hosts.length} hosts ready`];
  if (queued > 0) parts.push(`${queued} queued`);
  const equity = bots.map((bot) => bot.status.observation?.equity ?? null).filter((e) => e !== null);
  if (equity.length > 0) parts.push(`equity ${money(equity.reduce((sum, e) => sum + e, 0))}`);
  const orders = bots.reduce((sum, bot) => sum + (bot.status.observation?.ordersToday ?? 0), 0);
  parts.push(`${orders} orders today`);
  return parts.join(' · ');
}

/** Bot, account, host, state, stage, equity. */
export function botTable(bots: readonly Bot[]): string {
  const table = new Table({
    head: ['bot', 'account', 'host', 'state', 'stage', 'equity'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'left', 'left', 'left', 'left', 'right'],
  });
  for (const bot of bots) {
    const { phase, host, allocation, observation } = bot.status;
    table.push([
      bot.name,
      bot.account,
      host ?? '–',
      phase,
      observation?.stage ?? allocation?.stage ?? '–',
      observation?.equity == null ? '–' : `${money(observation.equity)} ${observation.currency ?? ''}`.trim(),
    ]);
  }
  return table.toString();
}

const money = (amount: number): string =>
  amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
