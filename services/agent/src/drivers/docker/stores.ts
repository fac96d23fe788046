import type { Clock } from '#libs/clock';
import {
  DriverError,
  type DriverStores,
  type ForeignTask,
  type KeptVolume,
  type TaskSpec,
} from '../driver.js';
import { volumeName } from './container-spec.js';
import type { DockerEngine } from './docker.engine.js';
import type { ContainerList } from './engine-answers.js';
import type { Images } from './images.js';
import { accountLabelsOf, label } from './labels.js';

/** A volume that was prepared so lately is about to be used. */
const PREPARED_MS = 60 * 60_000;
/** Accounts whose volume was prepared lately, remembered at once. */
const PREPARED_MAX = 10_000;
/** Every container that runs a bot is called so. */
const BOT_NAME = /^\/bot-/;

/** Volumes and images: what stays on an engine from one allocation to the next. */
export class DockerStores implements DriverStores {
  /** When a volume was last prepared, monotonic; by its name. */
  private readonly prepared_ms = new Map<string, number>();
  /** Volumes being removed: whoever prepares one waits, and makes it anew. */
  private readonly leaving = new Map<string, Promise<void>>();

  constructor(
    private readonly engine: DockerEngine,
    private readonly fleet: string,
    private readonly images: Images,
    private readonly clock: Clock,
  ) {}

  async ensureVolume(task: TaskSpec): Promise<void> {
    const name = volumeName(this.fleet, task.account);
    // Before anything is awaited: from here on it is not removed any more.
    this.remember(name);
    await this.leaving.get(name);
    const { Labels } = await this.engine.volume(name, accountLabelsOf(task, this.fleet));
    // A volume may hold another tenant's terminal profile, should the account's name have been used before.
    if (Labels?.[label.fleet] === this.fleet && Labels[label.tenant] === task.tenant) return;
    throw new DriverError(
      'engine-refused',
      `volume ${name} exists and is not tenant ${task.tenant}'s`,
      false,
    );
  }

  async survey(): Promise<{ volumes: KeptVolume[]; foreign: ForeignTask[] }> {
    const volumes = await this.engine.volumes({ label: [`${label.fleet}=${this.fleet}`] });
    // After the volumes: a container that is made meanwhile has one that is new, or one that was prepared just now.
    const containers = await this.engine.containers({});
    const mounted = new Set(containers.flatMap(({ Mounts }) => Mounts?.map(({ Name }) => Name) ?? []));
    return {
      foreign: containers.filter((container) => this.isForeign(container)).map(foreignOf),
      volumes: volumes.flatMap(({ Name: name, Labels }) => {
        const account = Labels?.[label.account];
        // What calls itself so and is not named so has not been made by us.
        if (account === undefined || name !== `tf.${this.fleet}.${account}`) return [];
        return [{ name, account, inUse: mounted.has(name) || this.isPrepared(name) }];
      }),
    };
  }

  async removeVolume({ name }: KeptVolume): Promise<boolean> {
    if (this.isPrepared(name) || this.leaving.has(name)) return false;
    const removal = this.engine.removeVolume(name);
    const left = removal.then(
      () => undefined,
      () => undefined,
    );
    this.leaving.set(name, left);
    try {
      return (await removal) === 'gone';
    } finally {
      this.leaving.delete(name);
    }
  }

  fetched(): readonly string[] {
    return this.images.fetched();
  }

  async removeImage(reference: string): Promise<boolean> {
    return (await this.engine.removeImage(reference)) === 'gone';
  }

  private isForeign({ Names, Labels }: ContainerList[number]): boolean {
    return (Names ?? []).some((name) => BOT_NAME.test(name)) && Labels?.[label.fleet] !== this.fleet;
  }

  private isPrepared(name: string): boolean {
    const prepared_ms = this.prepared_ms.get(name);
    return prepared_ms !== undefined && this.clock.monotonicMs() - prepared_ms < PREPARED_MS;
  }

  private remember(name: string): void {
    this.prepared_ms.delete(name);
    this.prepared_ms.set(name, this.clock.monotonicMs());
    const [oldest] = this.prepared_ms.keys();
    if (this.prepared_ms.size > PREPARED_MAX && oldest !== undefined) this.prepared_ms.delete(oldest);
  }
}

function foreignOf({ Id: id, Names, Labels }: ContainerList[number]): ForeignTask {
  const fleet = Labels?.[label.fleet];
  return {
    id,
    name: Names?.[0]?.slice(1) ?? id,
    why:
      fleet === undefined ? 'It has no label of a fleet.' : `It belongs to the fleet ${fleet.slice(0, 63)}.`,
  };
}
