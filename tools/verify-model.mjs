#!/usr/bin/env node
/**
 * Checks docs/models/lease.pml with spin: the complete protocol must hold in every reachable state, and each variant with
 * a rule taken away must fail. `npm run verify:model`; the tests run it with `--bounded`.
 */

import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { EXIT_OK, EXIT_STEP_FAILED, EXIT_USAGE, StepFailure } from './bootstrap/failure.mjs';
import { thisMachine } from './bootstrap/machine.mjs';
import { check } from './model/pan.mjs';
import { MEASURES, VARIANTS } from './model/variants.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODEL = join(ROOT, 'docs/models/lease.pml');
const MEMORY_MIB = 8192;
const BOUNDED_MEMORY_MIB = 2048;
const TIMEOUT_S = 900;
const JOBS_MAX = 4;

const HELP = `Usage: node tools/verify-model.mjs [--bounded] [--only name,...] [--trace] [--json] [--jobs n]
                                   [--timeout-s s] [--memory-mib m]

  --bounded      smaller measures, and without the variants that only tell which layers are second ones
  --only         these variants
  --trace        print each counterexample, step by step
  --json         one JSON object on standard output instead of the table
  --jobs         variants that are checked at a time
  --timeout-s    longest that one variant may take (${TIMEOUT_S})
  --memory-mib   most memory that one variant may use (${MEMORY_MIB}, bounded ${BOUNDED_MEMORY_MIB})

Exit codes: 0 all as expected · 1 not so · 2 wrong usage · 78 spin or a C compiler is missing
docs/models/README.md says how to read a counterexample.
`;

const OPTIONS = {
  bounded: { type: 'boolean', default: false },
  only: { type: 'string' },
  trace: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  jobs: { type: 'string' },
  'timeout-s': { type: 'string', default: String(TIMEOUT_S) },
  'memory-mib': { type: 'string' },
  help: { type: 'boolean', default: false },
};

/** @param {readonly string[]} words @throws {TypeError} for what cannot be understood */
export function readOptions(words) {
  const { values } = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: false });
  const whole = (name, text) => {
    if (!/^[1-9]\d{0,5}$/.test(text)) throw new TypeError(`--${name} must be a whole number above 0.`);
    return Number(text);
  };
  const memory = values['memory-mib'] ?? String(values.bounded ? BOUNDED_MEMORY_MIB : MEMORY_MIB);
  return {
    ...values,
    variants: chosen(values.only, values.bounded),
    jobs: whole('jobs', values.jobs ?? String(Math.min(availableParallelism(), JOBS_MAX))),
    timeout_ms: whole('timeout-s', values['timeout-s']) * 1000,
    memory_mib: whole('memory-mib', memory),
  };
}

function chosen(only, bounded) {
  if (only === undefined) return VARIANTS.filter((variant) => !bounded || variant.bounded);
  return only.split(',').map((name) => {
    const found = VARIANTS.find((variant) => variant.name === name);
    if (!found)
      throw new TypeError(`No variant ${name}. There are: ${VARIANTS.map((each) => each.name).join(', ')}.`);
    return found;
  });
}

/** What is given to spin and how its search goes. @param {import('./model/variants.mjs').Variant} variant */
export function jobOf(variant, { bounded, memory_mib, timeout_ms, trace }) {
  const measures = variant.measures ?? MEASURES[bounded ? 'bounded' : 'full'];
  return {
    model: MODEL,
    flags: [
      ...Object.entries(measures).map(([name, value]) => `-D${name}=${value}`),
      ...variant.defines.map((name) => `-D${name}`),
    ],
    search: variant.expected === 'holds' ? 'exhaustive' : 'shortest',
    memory_mib,
    timeout_ms,
    trace,
  };
}

/** A result together with whether it is as it must be. */
export function judge(variant, result) {
  const idle = variant.everyStep === true && result.verdict === 'holds' ? result.idle : [];
  return {
    name: variant.name,
    expected: variant.expected,
    why: variant.why,
    ok: result.verdict === variant.expected && idle.length === 0,
    ...result,
    idle,
  };
}

/** Runs all with `jobs` at a time, and gives their outcomes in their order. */
async function inTurn(items, jobs, work) {
  const outcomes = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      outcomes[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, worker));
  return outcomes;
}

const COLUMNS = [
  ['variant', (row) => row.name],
  ['expected', (row) => row.expected],
  ['found', (row) => row.verdict],
  ['', (row) => (row.ok ? 'ok' : 'WRONG')],
  ['states', (row) => row.states.toLocaleString('en-US')],
  ['depth', (row) => row.depth.toLocaleString('en-US')],
  ['s', (row) => row.seconds.toFixed(1)],
  ['MiB', (row) => row.memory_mib.toFixed(0)],
  ['what is different', (row) => row.why],
];
const TO_THE_RIGHT = new Set(['states', 'depth', 's', 'MiB']);

/** @param {readonly ReturnType<typeof judge>[]} rows */
export function table(rows) {
  const cells = [COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, text]) => text(row)))];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  return cells
    .map((line) =>
      line
        .map((cell, column) =>
          TO_THE_RIGHT.has(COLUMNS[column][0]) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param {readonly string[]} words @returns {Promise<number>} the exit code */
export async function main(
  words,
  { machine = thisMachine(), out = (text) => process.stdout.write(text) } = {},
) {
  let options;
  try {
    options = readOptions(words);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\n\n${HELP}`);
    return EXIT_USAGE;
  }
  if (options.help) {
    out(HELP);
    return EXIT_OK;
  }
  const startedMs = performance.now();
  let rows;
  try {
    rows = await inTurn(options.variants, options.jobs, async (variant) =>
      judge(variant, await check(machine, jobOf(variant, options))),
    );
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    process.stderr.write(`${[error.message, error.output, error.remedy].filter(Boolean).join('\n')}\n`);
    return error.exitCode;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  out(
    options.json
      ? `${JSON.stringify({ schema: 1, bounded: options.bounded, seconds, variants: rows })}\n`
      : report(rows, seconds),
  );
  return rows.every(({ ok }) => ok) ? EXIT_OK : EXIT_STEP_FAILED;
}

function report(rows, seconds) {
  const wrong = rows.filter(({ ok }) => !ok);
  const told = rows.flatMap((row) => [
    ...(row.trace === undefined ? [] : [`\n${row.name}: ${row.why}\n${row.trace}\n=> ${row.verdict}`]),
    ...(row.reason === undefined ? [] : [`\n${row.name} is unfinished: ${row.reason}`]),
    ...(row.idle.length === 0 ? [] : [`\n${row.name}: steps that are never taken:\n${row.idle.join('\n')}`]),
  ]);
  const end =
    wrong.length === 0
      ? `all ${rows.length} as expected`
      : `${wrong.length} of ${rows.length} not as expected`;
  return `${[table(rows), ...told].join('\n')}\n\n${end}, ${seconds.toFixed(1)} s\n`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
