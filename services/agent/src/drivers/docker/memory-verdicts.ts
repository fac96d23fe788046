import type { Clock } from '#libs/clock';
import type { DockerEngine } from './docker.engine.js';
import type { Container } from './engine-answers.js';

const SIGKILLED = 137;
/** So long after its end the engine may still learn why a container was killed. */
const LATE_MS = 500;
/** Containers remembered at once. */
const REMEMBERED_MAX = 10_000;

/**
 * Whether containers ended because their memory was used up. The engine's own flag is wrong when it hears of the end
 * before it hears of the cause, which it does now and then; the event it sends then is right.
 */
export class MemoryVerdicts {
  /** By container id: what was found out, or false for those that we killed ourselves. */
  private readonly verdicts = new Map<string, boolean>();

  constructor(
    private readonly engine: DockerEngine,
    private readonly clock: Clock,
  ) {}

  /** To be told before a kill of ours, which then is the reason of the end. */
  killing(id: string): void {
    this.remember(id, this.verdicts.get(id) ?? false);
  }

  /** To be told before each start: what was before does not count any more. */
  forget(id: string): void {
    this.verdicts.delete(id);
  }

  /** What is known at once. */
  known({ Id, State }: Container): boolean {
    return State.OOMKilled || this.verdicts.get(Id) === true;
  }

  /** Looks into it, for half a second when it was killed by somebody unknown. */
  async find(container: Container): Promise<boolean> {
    const { Id, State } = container;
    if (this.known(container) || State.ExitCode !== SIGKILLED || State.StartedAt === null) {
      return this.known(container);
    }
    const remembered = this.verdicts.get(Id);
    if (remembered !== undefined) return remembered;
    const filters = { type: ['container'], container: [Id], event: ['oom'] };
    const until_ms = this.clock.wallMs() + LATE_MS;
    const found = await this.engine.hadEvent(filters, Date.parse(State.StartedAt), until_ms);
    this.remember(Id, found);
    return found;
  }

  private remember(id: string, verdict: boolean): void {
    this.verdicts.delete(id);
    this.verdicts.set(id, verdict);
    const [oldest] = this.verdicts.keys();
    if (this.verdicts.size > REMEMBERED_MAX && oldest !== undefined) this.verdicts.delete(oldest);
  }
}
