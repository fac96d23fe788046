import { describe, expect, it } from '@jest/globals';
import { held_up_ms_max, suspended_ms_max, suspensionBetween } from './suspension.js';

const first = { boottimeMs: 5000, monotonicMs: 1000 };
const after = (boottime_ms: number, monotonic_ms: number) => ({
  boottimeMs: first.boottimeMs + boottime_ms,
  monotonicMs: first.monotonicMs + monotonic_ms,
});

describe('a pause of the machine', () => {
  it.each([
    ['nothing but the planned wait', after(250, 250), null],
    ['the step of the coarser clock', after(240, 250), null],
    ['sleep that is too short to matter', after(250 + suspended_ms_max, 250), null],
    ['sleep', after(251 + suspended_ms_max, 250), { kind: 'suspended', ms: suspended_ms_max + 1 }],
    ['a busy machine', after(250 + held_up_ms_max, 250 + held_up_ms_max), null],
    [
      'a machine that was held up',
      after(251 + held_up_ms_max, 251 + held_up_ms_max),
      { kind: 'held-up', ms: held_up_ms_max + 1 },
    ],
    ['both', after(100_000, 50_000), { kind: 'suspended', ms: 50_000 }],
  ] as const)('%s', (_what, second, found) => {
    expect(suspensionBetween(first, second, 250)).toEqual(found);
  });
});
