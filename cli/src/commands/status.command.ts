import type { Bot, Host } from '#libs/contracts';
import { Command } from 'commander';
import { exitCodes } from '../exit.codes.js';
import type { Printer } from '../output/printer.js';
import { botView, hostView } from '../output/views.js';
import type { Perform } from '../session.js';

const rows_max = 10_000;

export function statusCommand(perform: Perform): Command {
  return new Command('status')
    .description('show services, hosts and bots; exit code 3 when a service does not answer')
    .action((_options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const components = await gateway.readiness();
        const away = Object.entries(components).filter(([, state]) => state === 'unavailable');
        // Without the scheduler there is nothing to list.
        const reachable = !away.some(([name]) => name === 'nats' || name === 'scheduler');
        const hosts = reachable ? await gateway.list('hosts.list', 'hosts', {}, rows_max) : [];
        const bots = reachable ? await gateway.list('bots.list', 'bots', {}, rows_max) : [];
        const leader = reachable ? await gateway.call('fleet.leader', {}) : null;
        printer.answer({ gateway: gateway.url, components, leader, hosts, bots }, () => {
          printer.line(`gateway ${gateway.url}`);
          for (const [name, state] of Object.entries(components))
            printer.line(`${name} ${state}`, state === 'ok' ? 'good' : 'bad');
          if (leader !== null)
            printer.line(`leader ${leader.holder}, term ${leader.term}, since ${leader.since}`);
          if (reachable) show(printer, hosts, bots);
        });
        return away.length === 0 ? undefined : exitCodes.unavailable;
      }),
    );
}

function show(printer: Printer, hosts: readonly Host[], bots: readonly Bot[]): void {
  printer.line('');
  printer.rows(hosts, hostView.columns, hostView.cells, 'No hosts.');
  printer.line('');
  printer.rows(bots, botView.columns, botView.cells, 'No bots.');
  const wanted = bots.filter((bot) => bot.desired === 'running').length;
  const running = bots.filter((bot) => bot.status.phase === 'running').length;
  const ready = hosts.filter((host) => host.state === 'ready').length;
  printer.line('');
  printer.line(`${running} of ${wanted} bots running, ${ready} of ${hosts.length} hosts ready.`);
}
