import { describe, expect, it } from '@jest/globals';
import { reasonOfExit } from './exit-reason.js';

describe('what an exit means', () => {
  it.each([
    [0, 'exited'],
    [65, 'start-failed'],
    [69, 'exited'],
    [70, 'exited'],
    [75, 'lease-ended'],
    [77, 'login-refused'],
    [78, 'bad-configuration'],
    [137, 'exited'],
    [1, 'exited'],
  ])('code %i is %s', (exitCode, reason) => {
    expect(reasonOfExit({ exitCode, outOfMemory: false, unknown: false }).reason).toBe(reason);
  });

  it('names the signal', () => {
    expect(reasonOfExit({ exitCode: 139, outOfMemory: false, unknown: false }).detail).toContain('signal 11');
  });

  it('is the memory when the kernel says so, whatever the code', () => {
    expect(reasonOfExit({ exitCode: 137, outOfMemory: true, unknown: false }).reason).toBe('out-of-memory');
  });

  it('is not known when nobody saw it', () => {
    expect(reasonOfExit({ exitCode: null, outOfMemory: false, unknown: true }).detail).toContain('not known');
  });
});
