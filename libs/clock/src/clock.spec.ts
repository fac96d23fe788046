import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { SystemClock } from './clock.js';

const onLinux = process.platform === 'linux' ? it : it.skip;

describe('SystemClock', () => {
  onLinux('tells CLOCK_BOOTTIME as the kernel prints it, in steps of 10 ms', () => {
    const clock = new SystemClock();
    const printed = (): number =>
      Math.round(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000);
    const before = printed();
    const told = clock.boottimeMs();
    expect(told).toBeGreaterThanOrEqual(before);
    expect(told).toBeLessThanOrEqual(printed());
    expect(told % 10).toBe(0);
  });

  it('never goes back', () => {
    const clock = new SystemClock();
    let last = clock.boottimeMs();
    for (let n = 0; n < 1000; n += 1) {
      const now = clock.boottimeMs();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });
});
