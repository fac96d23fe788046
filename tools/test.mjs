/**
 * `npm test [-- step ...]`: every test there is. `npm run jest -- <path>` runs single specs.
 */
import { runSteps } from './run-steps.mjs';

const minute = 60_000;
const jestEnv = { NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning' };
const steps = [
  {
    name: 'tools',
    command: 'node',
    args: ['--test', 'tools/**/*.test.mjs'],
    timeout_ms: 5 * minute,
  },
  { name: 'python', command: 'node', args: ['tools/python.mjs', 'test'], timeout_ms: 10 * minute },
  {
    name: 'model',
    command: 'node',
    args: ['tools/verify-model.mjs', '--bounded'],
    timeout_ms: 10 * minute,
  },
  { name: 'jest', command: 'jest', args: ['--ci'], env: jestEnv, timeout_ms: 40 * minute },
  {
    // Every kind of fault once, and some twice. A longer run: `npm run chaos`.
    name: 'chaos',
    command: 'node',
    args: [
      'dist/chaos/src/main.js',
      '--faults',
      '24',
      '--minutes',
      '12',
      '--seed',
      '7',
      '--bots',
      '5',
      '--optional',
    ],
    timeout_ms: 16 * minute,
  },
  {
    // Audit service, NATS and Postgres once each, and the store lost. A longer run: `npm run chaos -- audit`.
    name: 'chaos-audit',
    command: 'node',
    args: ['dist/chaos/src/main.js', 'audit', '--events', '5000', '--kills', '4', '--seed', '7'],
    timeout_ms: 5 * minute,
  },
];

process.exitCode = (await runSteps(steps, process.argv.slice(2))) ? 0 : 1;
