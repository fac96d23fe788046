import { describe, expect, it } from '@jest/globals';
import { waitFor } from './wait-for.js';

describe('waitFor', () => {
  it('gives what the condition gave once it is truthy', async () => {
    let looks = 0;
    await expect(waitFor(() => ((looks += 1) < 3 ? null : looks))).resolves.toBe(3);
  });

  it('names what it waited for and keeps the last error', async () => {
    const waiting = waitFor(() => Promise.reject(new Error('not yet')), { timeoutMs: 20, what: 'the tide' });
    await expect(waiting).rejects.toThrow('Waited 20 ms for the tide: not yet');
  });
});
