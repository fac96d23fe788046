/**
 * `npm run check [-- step ...]`: everything that can be known without running the fleet. The same for a laptop and CI.
 */
import { runSteps } from './run-steps.mjs';

const minute = 60_000;
const steps = [
  {
    name: 'format',
    command: 'prettier',
    args: ['--check', '--log-level', 'warn', '.'],
    timeout_ms: 3 * minute,
  },
  { name: 'lint', command: 'eslint', args: ['--max-warnings', '0', '.'], timeout_ms: 8 * minute },
  { name: 'types', command: 'tsc', args: ['--noEmit', '-p', 'tsconfig.json'], timeout_ms: 5 * minute },
  {
    name: 'dependencies',
    command: 'depcruise',
    args: [
      '--config',
      '.dependency-cruiser.cjs',
      'services',
      'libs',
      'cli',
      'deploy/local',
      'bench',
      'chaos',
      'proof',
      'tools/generate',
    ],
    timeout_ms: 3 * minute,
  },
  {
    name: 'generated',
    command: 'node',
    args: ['dist/tools/generate/src/main.js', '--check'],
    timeout_ms: 2 * minute,
  },
  { name: 'documents', command: 'node', args: ['tools/check-documents.mjs'], timeout_ms: minute },
  { name: 'python', command: 'node', args: ['tools/python.mjs', 'check'], timeout_ms: 5 * minute },
];

process.exitCode = (await runSteps(steps, process.argv.slice(2))) ? 0 : 1;
