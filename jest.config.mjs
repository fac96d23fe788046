import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

// The build leaves specs out; everything else is compiled for tests as it is for production.
const { exclude: _specs, ...swc } = JSON.parse(readFileSync(new URL('.swcrc', import.meta.url), 'utf8'));

/** One configuration for every spec: unit specs stand beside their source, scenarios in e2e/. */
export default {
  rootDir: '.',
  roots: [
    '<rootDir>/services',
    '<rootDir>/libs',
    '<rootDir>/cli',
    '<rootDir>/deploy/local',
    '<rootDir>/chaos',
    '<rootDir>/proof',
    '<rootDir>/e2e',
    '<rootDir>/tools',
  ],
  testMatch: ['**/*.spec.ts'],
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  modulePathIgnorePatterns: ['<rootDir>/dist'],
  transform: { '^.+\\.ts$': ['@swc/jest', { ...swc, swcrc: false }] },
  // For a stuck test: a loaded machine may take ten times as long as an idle one.
  testTimeout: 180_000,
  // Each worker waits for half of its time: for servers, engines, leases.
  maxWorkers: Math.min(availableParallelism() + 1, 6),
  testSequencer: '<rootDir>/tools/spec.sequencer.mjs',
};
