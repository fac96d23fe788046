import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '#libs/testing';
import fc from 'fast-check';
import { Databases, play } from './play.js';
import { anyStep } from './steps.js';

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const runs = number('PROOF_RUNS', 40);
const steps_each = number('PROOF_STEPS', 50);
const seed = number('PROOF_SEED', Math.floor(Math.random() * 2 ** 31));
const path = process.env['PROOF_PATH'];
const limit_ms = number('PROOF_SECONDS', 70) * 1000;
/** The last run, and finding the smallest that fails. */
const rest_ms = 180_000;

let postgres: TestPostgres;
let databases: Databases;

beforeAll(async () => {
  postgres = await startPostgres();
  databases = await Databases.of(postgres);
});
afterAll(async () => {
  await databases.close();
  await postgres.stop();
});

it(
  'never has two writers of an account, whatever happens, and comes right in the end',
  async () => {
    let done = 0;
    const end_ms = performance.now() + limit_ms;
    const property = fc.asyncProperty(
      fc.nat({ max: 2 ** 31 }),
      fc.array(anyStep, { minLength: steps_each, maxLength: steps_each, size: 'max' }),
      async (worldSeed, steps) => {
        // Runs are let out rather than broken off: one that is broken off goes on behind the back of the next test.
        if (performance.now() > end_ms) return;
        await play(databases, { seed: worldSeed, steps });
        done += steps.length;
      },
    );
    const result = await fc.check(property, {
      seed,
      numRuns: runs,
      ...(path === undefined ? {} : { path }),
      ...(process.env['PROOF_SHRINK'] === undefined ? { endOnFailure: true } : {}),
    });
    process.stderr.write(`proof: seed ${seed}, ${done / steps_each} runs, ${done} steps\n`);
    if (!result.failed) return;
    const again = `npm run verify:properties -- --seed ${seed} --path ${result.counterexamplePath ?? '0'} --steps ${steps_each}`;
    throw new Error(`${String(result.errorInstance)}\n\nAgain: ${again}`, { cause: result.errorInstance });
  },
  limit_ms + rest_ms,
);

it('is about something', () => {
  expect(runs * steps_each).toBeGreaterThan(0);
});
