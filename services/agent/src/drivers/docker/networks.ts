import { Id } from '#libs/contracts';
import { createHash } from 'node:crypto';
import { DriverError, type TaskSpec } from '../driver.js';
import { networkName } from './container-spec.js';
import type { DockerEngine, NetworkRequest } from './docker.engine.js';
import type { Network } from './engine-answers.js';
import { label, labelsOf } from './labels.js';
import { formatSubnet, freeSubnet, parseSubnet, type Subnet } from './subnets.js';

/** Others on the same engine may take the subnet we found free; each time the list is read anew. */
const ATTEMPTS_MAX = 16;
const DETACH_ATTEMPTS_MAX = 3;

/** One bridge network for each allocation, with an explicit /29: the engine's default pools end after about 27. */
export class Networks {
  /**
   * Subnets thought to be taken, by their text. Only the engine knows, and it refuses what overlaps; but listing all
   * networks for each new one takes seconds on an engine with many, so they are listed only when a guess was wrong.
   */
  private taken: Map<string, Subnet> | null = null;

  constructor(
    private readonly engine: DockerEngine,
    private readonly fleet: string,
    private readonly pool: Subnet,
  ) {}

  /** Creates the allocation's network unless it is there. Throws `no-capacity` when the pool is used up. */
  async ensure(task: TaskSpec, internal: boolean): Promise<void> {
    const name = networkName(task.allocation);
    const labels = labelsOf(task, this.fleet);
    const refused: Subnet[] = [];
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const subnet = await this.choose(task.allocation, refused);
      if (subnet === null) {
        if (await this.exists(task, name, internal)) return;
        throw this.exhausted();
      }
      const outcome = await this.create({ name, subnet: formatSubnet(subnet), internal, labels }, subnet);
      if (outcome === 'created') return;
      if (outcome === 'exists' && (await this.exists(task, name, internal))) return;
      if (outcome === 'overlap') {
        // Taken by another agent since, or by something that the engine does not list.
        refused.push(subnet);
        this.taken = null;
      }
    }
    throw new DriverError('no-capacity', `no free network found in ${ATTEMPTS_MAX} attempts`, true);
  }

  /** Removes the allocation's network, detaching by force what a crash of the engine left attached. */
  async remove(allocation: string): Promise<number> {
    // What calls itself so has not been named by us.
    if (!Id.safeParse(allocation).success) return 0;
    const network = await this.engine.network(networkName(allocation));
    const labels = network?.Labels;
    if (network === null || labels?.[label.fleet] !== this.fleet || labels[label.allocation] !== allocation) {
      return 0;
    }
    await this.removeOne(network.Id);
    for (const subnet of subnetsOf(network)) this.taken?.delete(formatSubnet(subnet));
    return 1;
  }

  /** Allocations of this host that have a network. */
  async allocations(host: string): Promise<string[]> {
    const networks = await this.engine.networks({
      label: [`${label.fleet}=${this.fleet}`, `${label.host}=${host}`],
    });
    return networks.flatMap((network) => network.Labels?.[label.allocation] ?? []);
  }

  private async exists(task: TaskSpec, name: string, internal: boolean): Promise<boolean> {
    const network = await this.engine.network(name);
    if (network === null) return false;
    const ours =
      network.Labels?.[label.fleet] === this.fleet &&
      network.Labels[label.allocation] === task.allocation &&
      network.Internal === internal;
    if (ours) return true;
    throw new DriverError('engine-refused', `network ${name} exists and is not this allocation's`, false);
  }

  private async removeOne(id: string): Promise<void> {
    for (let attempt = 0; attempt < DETACH_ATTEMPTS_MAX; attempt += 1) {
      if ((await this.engine.removeNetwork(id)) === 'gone') return;
      const attached = Object.keys((await this.engine.network(id))?.Containers ?? {});
      // Endpoints whose container is gone are listed as "ep-<id>" and go by that name.
      for (const container of attached) await this.engine.disconnect(id, container);
    }
    throw new DriverError('engine-refused', `network ${id} stays in use`, true);
  }

  /** A subnet that seems free, marked as taken from here on; null when there is none. */
  private async choose(allocation: string, refused: readonly Subnet[]): Promise<Subnet | null> {
    const seed = seedOf(allocation);
    const free = (taken: Map<string, Subnet>): Subnet | null =>
      freeSubnet(this.pool, [...taken.values(), ...refused], seed);
    const guessed = this.taken === null ? null : free(this.taken);
    const subnet = guessed ?? free(await this.list());
    if (subnet !== null) this.taken?.set(formatSubnet(subnet), subnet);
    return subnet;
  }

  private async create(request: NetworkRequest, subnet: Subnet): ReturnType<DockerEngine['createNetwork']> {
    let outcome: Awaited<ReturnType<DockerEngine['createNetwork']>> | null = null;
    try {
      outcome = await this.engine.createNetwork(request);
      return outcome;
    } finally {
      if (outcome !== 'created') this.taken?.delete(formatSubnet(subnet));
    }
  }

  private async list(): Promise<Map<string, Subnet>> {
    const subnets = (await this.engine.networks()).flatMap(subnetsOf);
    const taken = new Map(subnets.map((subnet) => [formatSubnet(subnet), subnet]));
    this.taken = taken;
    return taken;
  }

  private exhausted(): DriverError {
    const text = `no free /29 is left in ${formatSubnet(this.pool)}: enlarge the address pool or place fewer bots here`;
    return new DriverError('no-capacity', text, true);
  }
}

const subnetsOf = (network: Network): Subnet[] =>
  (network.IPAM.Config ?? []).flatMap(({ Subnet: text }) => parseSubnet(text ?? '') ?? []);

/** Spreads allocations over the pool; the same allocation always begins to look at the same place. */
const seedOf = (allocation: string): number =>
  createHash('sha256').update(allocation).digest().readUInt32BE(0);
