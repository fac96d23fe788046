import fc from 'fast-check';
import { goodLink, type LinkQuality } from './simulated-network.js';
import type { World } from './world.js';

/** Something that is done to the fleet. `which` counts around whatever there is; `for_ms` is true time. */
export type Step =
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'bot'; readonly which: number; readonly verb: 'start' | 'stop' | 'delete' | 'create' }
  | { readonly kind: 'lock' | 'unlock'; readonly which: number }
  | { readonly kind: 'drain' | 'ready'; readonly which: number }
  | { readonly kind: 'cut'; readonly which: number; readonly for_ms: number }
  | { readonly kind: 'spoil'; readonly which: number; readonly for_ms: number; readonly quality: LinkQuality }
  | { readonly kind: 'cut-database'; readonly which: number; readonly for_ms: number }
  | { readonly kind: 'suspend'; readonly which: number; readonly for_ms: number }
  | {
      readonly kind: 'stop-scheduler' | 'kill-scheduler' | 'stop-agent' | 'kill-agent';
      readonly which: number;
      readonly for_ms: number;
    }
  | { readonly kind: 'crash'; readonly host: number; readonly which: number };

const which = fc.nat({ max: 5 });
/** Short ones disturb, long ones outlast a lease. */
const for_ms = fc.oneof(fc.integer({ min: 20, max: 1500 }), fc.integer({ min: 1500, max: 12_000 }));
const quality: fc.Arbitrary<LinkQuality> = fc.record({
  lost: fc.constantFrom(0, 0.1, 0.3),
  doubled: fc.constantFrom(0, 0.2, 0.5),
  delay_ms_min: fc.integer({ min: 1, max: 300 }),
  delay_ms_max: fc.integer({ min: 300, max: 2500 }),
});
const fault = <K extends Step['kind']>(kind: K) => fc.record({ kind: fc.constant(kind), which, for_ms });

export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('pass'), ms: fc.integer({ min: 10, max: 2500 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('bot'),
      which,
      verb: fc.constantFrom('start', 'start', 'stop', 'delete', 'create', 'create'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('lock', 'unlock', 'unlock'), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('drain', 'ready', 'ready'), which }) },
  { weight: 3, arbitrary: fault('cut') },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('spoil'), which, for_ms, quality }) },
  { weight: 1, arbitrary: fault('cut-database') },
  { weight: 2, arbitrary: fault('suspend') },
  { weight: 2, arbitrary: fault('stop-scheduler') },
  { weight: 2, arbitrary: fault('kill-scheduler') },
  { weight: 2, arbitrary: fault('stop-agent') },
  { weight: 2, arbitrary: fault('kill-agent') },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash'), host: which, which }) },
);

const reason = 'because';
const around = <T>(all: readonly T[], index: number): T => {
  const found = all[index % all.length];
  if (found === undefined) throw new Error('There is nothing to choose from.');
  return found;
};

/** Does it to the world, and lets pass what time it is about. */
export async function perform(world: World, step: Step): Promise<void> {
  switch (step.kind) {
    case 'pass':
      world.tell(`${step.ms} ms pass`);
      await world.advance(step.ms);
      return;
    case 'bot':
      changeBot(world, around(world.bots, step.which), step.verb);
      break;
    case 'lock':
    case 'unlock':
      world.ask(`accounts.${step.kind}`, { name: around(world.bots, step.which).account, reason });
      break;
    case 'drain':
      world.ask('hosts.drain', { name: around(world.hosts, step.which).name, reason });
      break;
    case 'ready':
      world.ask('hosts.ready', { name: around(world.hosts, step.which).name });
      break;
    case 'crash':
      if (around(world.hosts, step.host).crashOne(step.which))
        world.tell(`a bot on ${around(world.hosts, step.host).name} ends by itself`);
      break;
    default:
      await damage(world, step);
  }
  await world.advance(1);
}

function changeBot(
  world: World,
  { name, account }: { name: string; account: string },
  verb: 'start' | 'stop' | 'delete' | 'create',
): void {
  if (verb === 'create')
    world.ask('bots.create', { name, account, runtime: 'paper', policies: world.policies });
  else world.ask(`bots.${verb}`, { name });
}

type Damage = Extract<Step, { for_ms: number }>;

/** Breaks something and mends it by itself later; what is broken twice is mended by the first that ends. */
async function damage(world: World, step: Damage): Promise<void> {
  const { kind, for_ms: long_ms } = step;
  const later = (what: string, mend: () => void): void => {
    world.time.at(world.time.now_ms + long_ms, () => {
      world.tell(what);
      mend();
    });
  };
  switch (kind) {
    case 'cut': {
      const link = around(world.links, step.which);
      world.tell(`${link.name} is cut off for ${long_ms} ms`);
      link.cut = true;
      later(`${link.name} is no longer cut off`, () => (link.cut = false));
      return;
    }
    case 'spoil': {
      const link = around(world.links, step.which);
      world.tell(`the link of ${link.name} is bad for ${long_ms} ms: ${JSON.stringify(step.quality)}`);
      link.quality = step.quality;
      later(`the link of ${link.name} is good`, () => (link.quality = goodLink));
      return;
    }
    case 'cut-database': {
      const { machine } = around(world.schedulers, step.which);
      world.tell(`${machine.name} is cut off from the database for ${long_ms} ms`);
      machine.cutDatabase();
      later(`${machine.name} hears from the database`, () => machine.mendDatabase());
      return;
    }
    case 'suspend': {
      const machine = around(world.breakable, step.which);
      world.tell(`${machine.name} is suspended for ${long_ms} ms`);
      machine.suspend();
      later(`${machine.name} goes on`, () => machine.resume());
      return;
    }
    default: {
      const parts = kind.endsWith('agent') ? world.hosts : world.schedulers;
      const part = around<World['hosts'][number] | World['schedulers'][number]>(parts, step.which);
      const { process } = part;
      if (process === null) return;
      world.tell(`${process.name} is ${kind.startsWith('stop') ? 'stopped' : 'killed'} for ${long_ms} ms`);
      if (kind.startsWith('stop')) {
        process.stop();
        later(`${process.name} continues`, () => process.continue());
      } else {
        part.kill();
        later(`${process.name} is started again`, () => void part.start());
      }
    }
  }
}
