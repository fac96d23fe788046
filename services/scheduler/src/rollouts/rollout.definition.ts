import { Parameters, runtimeRef, type RolloutChange, type RolloutPlan } from '#libs/contracts';
import { merge, type BotDefinition } from '../bots/bot.definition.js';
import { canonicalHash } from '../requests/canonical-json.js';

/** The definition a bot of the rollout gets: what is not named stays, single parameters may be taken away. */
export function changedBy(change: RolloutChange, current: BotDefinition): BotDefinition {
  const { parameters: patch, ...parts } = change;
  if (patch === undefined) return merge(current, parts);
  const entries = Object.entries({ ...current.parameters, ...patch });
  const parameters = Object.fromEntries(
    entries.filter((entry): entry is [string, Parameters[string]] => entry[1] !== null),
  );
  return merge(current, { ...parts, parameters });
}

/** The version of a plan: covers what was asked, and which life and generation of every bot it was worked out with. */
export function rolloutVersion(
  { selector, change, options }: RolloutPlan,
  chosen: readonly { readonly name: string; readonly generation: number; readonly createdAt: Date }[],
): string {
  const bots = chosen
    .map(({ name, generation, createdAt }) => [name, generation, createdAt.toISOString()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return canonicalHash({ selector, change, options, bots });
}

/** What its host must offer. */
export const refOf = ({ runtime, version }: Pick<BotDefinition, 'runtime' | 'version'>): string =>
  runtimeRef(runtime, version);
