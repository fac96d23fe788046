import {
  runtimes,
  type Bot,
  type BotCreate,
  type BotUpdate,
  type Resources,
  type RuntimeName,
} from '#libs/contracts';

/** The part of a bot that a client writes, whole: nothing is left to a default. */
export type BotDefinition = Pick<
  Bot,
  'runtime' | 'version' | 'parameters' | 'resources' | 'constraints' | 'policies'
>;

type Without<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Members that are there; `undefined` counts as left out. */
function given<T extends object>(part: T): Without<T> {
  return Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined)) as Without<T>;
}

/** What was asked for, the rest as the runtime's catalogue entry says. */
export const resourcesOf = (
  runtime: RuntimeName,
  asked: { [K in keyof Resources]?: Resources[K] | undefined },
): Resources => ({ ...runtimes[runtime].resources_default, ...given(asked) });

/** The whole definition of a bot that is to be made. */
export const definitionOf = (
  bot: Pick<BotCreate, 'runtime' | 'version' | 'parameters' | 'resources' | 'constraints' | 'policies'>,
): BotDefinition => ({
  runtime: bot.runtime,
  version: bot.version,
  parameters: bot.parameters,
  resources: resourcesOf(bot.runtime, bot.resources),
  constraints: bot.constraints,
  policies: bot.policies,
});

/**
 * The definition after an update: parameters and constraints are replaced whole, so that one can be taken away;
 * of resources and policies only the named members change.
 */
export const merge = (
  current: BotDefinition,
  update: Pick<BotUpdate, 'version' | 'parameters' | 'resources' | 'constraints' | 'policies'>,
): BotDefinition => ({
  runtime: current.runtime,
  // Null is a version too: the host's default.
  version: update.version === undefined ? current.version : update.version,
  parameters: update.parameters ?? current.parameters,
  resources: { ...current.resources, ...given(update.resources ?? {}) },
  constraints: update.constraints ?? current.constraints,
  policies: { ...current.policies, ...given(update.policies ?? {}) },
});

/** The definition alone, of whatever holds more. */
export const partsOf = ({
  runtime,
  version,
  parameters,
  resources,
  constraints,
  policies,
}: BotDefinition): BotDefinition => ({
  runtime,
  version,
  parameters,
  resources,
  constraints,
  policies,
});
