import { DriverError, type DriverLog, type TaskSpec } from '../driver.js';
import { containerName, containerSpec, type ContainerSettings } from './container-spec.js';
import type { DockerEngine } from './docker.engine.js';
import type { Container } from './engine-answers.js';
import { readLabels, type Labelled } from './labels.js';

const ATTEMPTS_MAX = 4;
/** Cannot run without being started, and a start by its id fails once it is removed. */
const DEAD: ReadonlySet<Container['State']['Status']> = new Set(['created', 'exited', 'dead']);

/**
 * Creates containers under the name `bot-<account>`, which the engine gives only once: the last fence on a host against
 * two bots for one account.
 *
 *   name free -------------------------------------------------> created
 *   held by this allocation -----------------------------------> adopted
 *   held by the dead remains of a lower epoch of this fleet ---> removed, again
 *   held by anything else -------------------------------------> name-taken
 *
 * Remains of another host's agent on the same engine go as well: it is fenced by then, and could no longer start them.
 */
export class NameMutex {
  constructor(
    private readonly engine: DockerEngine,
    private readonly log: DriverLog,
  ) {}

  /** The id of a container made just now; null when it was there before, in whatever state. */
  async create(task: TaskSpec, settings: ContainerSettings): Promise<string | null> {
    const name = containerName(task.account);
    const spec = containerSpec(task, settings);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const outcome = await this.engine.createContainer(name, spec);
      if (outcome !== 'name-taken') {
        const { id, warnings } = outcome;
        if (warnings.length > 0) this.log.warn({ container: name, warnings }, 'engine warned at create');
        return id;
      }
      const holder = await this.engine.container(name);
      // Gone in between: the name may be free now.
      if (holder === null) continue;
      if (isOf(task, settings.fleet, holder)) return null;
      await this.evict(holder, task, settings.fleet);
    }
    throw new DriverError('name-taken', `the name ${name} was not free in ${ATTEMPTS_MAX} attempts`, true);
  }

  /** The container that this allocation holds, or null. */
  async held(task: TaskSpec, fleet: string): Promise<Container | null> {
    const holder = await this.engine.container(containerName(task.account));
    return holder !== null && isOf(task, fleet, holder) ? holder : null;
  }

  private async evict(holder: Container, task: TaskSpec, fleet: string): Promise<void> {
    const labels = labelsIn(holder);
    const name = containerName(task.account);
    if (labels === null || labels.fleet !== fleet) {
      throw new DriverError('name-taken', `${name} is a container that is not this fleet's`, false);
    }
    const who = `${name} is held by allocation ${labels.allocation} (epoch ${labels.epoch}, ${holder.State.Status})`;
    if (labels.epoch >= task.epoch) throw new DriverError('name-taken', who, false);
    if (!DEAD.has(holder.State.Status)) throw new DriverError('name-taken', who, true);
    this.log.info(
      { container: name, allocation: labels.allocation, epoch: labels.epoch },
      'removing remains',
    );
    // Without force: should it have been started in between, it stays and keeps the name.
    await this.engine.removeContainer(holder.Id, false);
  }
}

function labelsIn(container: Container): Labelled | null {
  const labels = readLabels(container.Config.Labels ?? {});
  return 'why' in labels ? null : labels;
}

function isOf(task: TaskSpec, fleet: string, container: Container): boolean {
  const labels = labelsIn(container);
  return labels?.fleet === fleet && labels.allocation === task.allocation && labels.host === task.host;
}
