import type { Driver } from '../drivers/driver.js';

export type Step = 'image' | 'network' | 'volume' | 'create' | 'start';
export const steps: readonly Step[] = ['image', 'network', 'volume', 'create', 'start'];

/** Which step of a driver a call is; null for calls that are none. */
function stepOf(name: string | symbol, args: unknown[]): Step | null {
  if (name === 'start') return 'start';
  return name === 'prepare' ? (args[0] as Step) : null;
}

export type Trouble =
  /** The agent is killed there; `after`: the engine has done the step and nobody heard of it. */
  | {
      readonly kind: 'crash';
      readonly step: Step;
      readonly when: 'before' | 'after';
      /** Which time the step is taken; default the first. */
      readonly time?: number;
    }
  /** The step throws. */
  | { readonly kind: 'fault'; readonly step: Step; readonly error: Error }
  /** Every step is done twice. */
  | { readonly kind: 'twice' };

/** A driver around another one, in which something goes wrong at a step. */
export class FragileDriver {
  /** Whether the crash has happened: from then on no call returns. */
  crashed = false;
  #taken = 0;

  constructor(
    private readonly driver: Driver,
    private readonly trouble: Trouble,
  ) {}

  get proxy(): Driver {
    return new Proxy<Driver>(this.driver, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        const call = value.bind(target) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => this.#call(call, args, stepOf(name, args));
      },
    });
  }

  #call(call: (...args: unknown[]) => unknown, args: unknown[], step: Step | null): unknown {
    if (this.crashed) return new Promise(() => undefined);
    if (step === null) return call(...args);
    return this.#step(async () => await call(...args), step);
  }

  async #step(run: () => Promise<unknown>, step: Step): Promise<unknown> {
    const { trouble } = this;
    if (trouble.kind === 'twice') await run();
    if (trouble.kind === 'twice' || trouble.step !== step) return await run();
    if (trouble.kind === 'fault') throw trouble.error;
    this.#taken += 1;
    if (this.#taken !== (trouble.time ?? 1)) return await run();
    if (trouble.when === 'after') await run();
    this.crashed = true;
    return await new Promise(() => undefined);
  }
}
