import Sequencer from '@jest/test-sequencer';
import { relative } from 'node:path';
import { root } from './run-steps.mjs';

/** Specs that take from half a minute up, and mostly wait: for fleets, engines, leases. */
const LONG = [
  /^e2e\//,
  /^proof\//,
  /^services\/agent\/src\/agent\.(dockerd?|hanging|process-driver)\.spec/,
  /^services\/agent\/src\/drivers\/(driver\.contract|docker\/docker\.driver)\.spec/,
  /^services\/(agent|audit)\/src\/(events|ingestion)\//,
];

/** The long ones are begun within this part of all, so that none is left for the end. */
const LONG_WITHIN = 0.7;

/**
 * Spreads the long ones over the others: while one waits, others have the processors; not several fleets start at once.
 * Both keep their order.
 * @template T @param {readonly T[]} tests @param {(test: T) => string} pathOf relative to the repository
 * @returns {T[]}
 */
export function spread(tests, pathOf) {
  const isLong = (test) => LONG.some((pattern) => pattern.test(pathOf(test)));
  const [long, others] = [tests.filter(isLong), tests.filter((test) => !isLong(test))];
  const between = (others.length * LONG_WITHIN) / Math.max(1, long.length);
  const order = [];
  for (const [index, test] of long.entries()) {
    order.push(test, ...others.slice(Math.floor(index * between), Math.floor((index + 1) * between)));
  }
  return [...order, ...others.slice(Math.floor(long.length * between))];
}

/** The order of Jest, what took longest (where nothing is known: the largest) first, with the long ones spread. */
export default class SpecSequencer extends Sequencer {
  /** @param {Parameters<Sequencer['sort']>[0]} tests */
  async sort(tests) {
    return spread(await super.sort(tests), ({ path }) => relative(root, path));
  }
}
