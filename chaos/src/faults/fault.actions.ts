import type { ChaosFleet } from '../parts/chaos.fleet.js';
import type { ChaosHost } from '../parts/chaos.host.js';
import { botProcesses } from '../parts/bot.processes.js';
import type { Part } from '../parts/part.js';
import { signal } from '../parts/processes.js';
import { type LinkName, linkNames, type Network } from '../network/network.js';
import type { PlannedFault } from '../planner/fault.planner.js';
import { leadingScheduler } from '../rules/leading.scheduler.js';

/** A fault with its targets found. */
export interface Aim {
  readonly fault: PlannedFault;
  readonly host: string | null;
  /** Account of the bot, which is also its name. */
  readonly account: string | null;
}

/** What was broken, for people, and the way to mend it. Mending may fail for a while: it can be repeated. */
export interface Broken {
  readonly target: string;
  readonly heal: () => Promise<void>;
}

/** The fault cannot be made now: what it is to meet is not there. Drawn faults that are not made are not counted. */
export class NotMade extends Error {}

/** Makes faults. Each is known by one name, see `fault.catalogue.ts`. */
export class FaultActions {
  constructor(
    private readonly fleet: ChaosFleet,
    private readonly network: Network,
  ) {}

  async make(aim: Aim): Promise<Broken> {
    const { name } = aim.fault;
    switch (name) {
      case 'cut-nats':
        return await this.cut(aim, ['control']);
      case 'cut-broker':
        return await this.cut(aim, ['broker']);
      case 'cut-host':
        return await this.cut(aim, linkNames);
      case 'stop-agent':
        return freeze(this.hostOf(aim).agent);
      case 'stop-dockerd':
        return freeze(this.hostOf(aim).dockerd, { tree: false });
      case 'stop-supervisor':
        return this.stopSupervisor(aim);
      case 'stop-scheduler':
        return freeze(await this.leader());
      case 'stop-nats':
        return freeze(this.fleet.servers.nats);
      case 'stop-postgres':
        return this.stopPostgres();
      case 'pause-container':
        return await this.pause(aim);
      case 'kill-agent':
        return await kill(this.hostOf(aim).agent);
      case 'kill-dockerd':
        return await kill(this.hostOf(aim).dockerd);
      case 'kill-supervisor':
      case 'kill-container':
        return this.killWithin(aim, name === 'kill-container' ? 'first' : 'supervisor');
      case 'kill-scheduler':
        return await kill(await this.leader());
      case 'kill-nats':
        return await kill(this.fleet.servers.nats);
      case 'kill-postgres':
        return await this.killPostgres();
      case 'kill-audit':
        return await kill(this.fleet.service('audit'));
      case 'kill-secrets':
        return await kill(this.fleet.service('secrets'));
    }
  }

  private hostOf({ host }: Aim): ChaosHost {
    if (host === null) throw new NotMade('no host is known for it');
    return this.fleet.host(host);
  }

  private async cut(aim: Aim, links: readonly LinkName[]): Promise<Broken> {
    const { name } = this.hostOf(aim);
    const { mode } = aim.fault;
    const broken: LinkName[] = [];
    const heal = async (): Promise<void> => {
      for (const link of [...broken]) {
        await this.network.mend(name, link, mode);
        broken.splice(broken.indexOf(link), 1);
      }
    };
    for (const link of links) {
      await this.network.cut(name, link, mode);
      broken.push(link);
    }
    return { target: `${name} (${mode})`, heal };
  }

  private stopSupervisor(aim: Aim): Broken {
    const { supervisor } = this.processesOf(aim);
    signal(supervisor, 'SIGSTOP');
    // Gone is as good: whoever killed it meanwhile did what it is there for.
    return { target: aim.account ?? '', heal: async () => void signal(supervisor, 'SIGCONT') };
  }

  private killWithin(aim: Aim, which: 'first' | 'supervisor'): Broken {
    signal(this.processesOf(aim)[which], 'SIGKILL');
    return { target: aim.account ?? '', heal: async () => undefined };
  }

  private processesOf({ account }: Aim): { first: number; supervisor: number } {
    const found = account === null ? null : botProcesses(account);
    if (found === null) throw new NotMade('its bot does not run now');
    return found;
  }

  private async pause(aim: Aim): Promise<Broken> {
    const container = `bot-${aim.account ?? ''}`;
    const host = this.hostOf(aim);
    try {
      await host.docker(['pause', container], 5000);
    } catch (error) {
      // It may have been paused although the answer did not come in time.
      await unpause(host, container);
      throw new NotMade(error instanceof Error ? error.message : String(error));
    }
    return {
      target: `${aim.account ?? ''} on ${host.name}`,
      heal: async () => await unpause(host, container),
    };
  }

  private async leader(): Promise<Part> {
    const leader = await leadingScheduler(this.fleet);
    if (leader === null) throw new NotMade('no scheduler leads now');
    return leader;
  }

  private stopPostgres(): Broken {
    this.fleet.servers.signalPostgres('SIGSTOP');
    return { target: 'postgres', heal: async () => this.fleet.servers.signalPostgres('SIGCONT') };
  }

  private async killPostgres(): Promise<Broken> {
    // SIGKILL of the first process: the others see that it is gone and end.
    await this.fleet.servers.postgres.kill();
    return { target: 'postgres', heal: async () => await this.fleet.servers.postgres.restart() };
  }
}

function freeze(part: Part, how: { tree?: boolean } = {}): Broken {
  part.freeze(how);
  return { target: part.name, heal: async () => part.thaw(how) };
}

async function kill(part: Part): Promise<Broken> {
  await part.kill();
  return { target: part.name, heal: async () => part.release() };
}

/** Throws when the engine does not answer. A container that is gone, or was started anew, is not paused. */
async function unpause(host: ChaosHost, container: string): Promise<void> {
  const paused = await host.docker([
    'ps',
    '--quiet',
    '--filter',
    'status=paused',
    '--filter',
    `name=^/${container}$`,
  ]);
  if (paused.trim() !== '') await host.docker(['unpause', container]);
}
