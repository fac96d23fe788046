import { describe, expect, it } from '@jest/globals';
import { CpuMeter } from './cpu-meter.js';

describe('CpuMeter', () => {
  it('measures since the start first, then since the last time', () => {
    const meter = new CpuMeter();
    expect(meter.millis('a', { at_ms: 2000, cpu_ms: 500 }, 1000)).toBe(500);
    expect(meter.millis('a', { at_ms: 4000, cpu_ms: 600 }, 1000)).toBe(50);
    expect(meter.millis('b', { at_ms: 4000, cpu_ms: 6000 }, 1000)).toBe(2000);
  });

  it('begins anew with another run of the task, and when told to forget', () => {
    const meter = new CpuMeter();
    meter.millis('a', { at_ms: 2000, cpu_ms: 500 }, 1000);
    expect(meter.millis('a', { at_ms: 4000, cpu_ms: 100 }, 3000)).toBe(100);
    meter.forget('a');
    expect(meter.millis('a', { at_ms: 5000, cpu_ms: 200 }, 3000)).toBe(100);
  });

  it('does not divide by no time', () => {
    const meter = new CpuMeter();
    expect(meter.millis('a', { at_ms: 1000, cpu_ms: 5 }, 1000)).toBe(0);
    expect(meter.millis('a', { at_ms: 900, cpu_ms: 5 }, 1000)).toBe(0);
  });
});
