import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { TokenBucket } from './token-bucket.js';

describe('TokenBucket', () => {
  const takes = (bucket: TokenBucket, times: number) =>
    Array.from({ length: times }, () => bucket.take()).filter(Boolean).length;

  it('lets one second’s worth pass at once, then as much as the rate gives', async () => {
    const clock = new VirtualClock();
    const bucket = new TokenBucket(clock, 20);
    expect(takes(bucket, 100)).toBe(20);
    await clock.advance(100);
    expect(takes(bucket, 100)).toBe(2);
    await clock.advance(49);
    expect(bucket.take()).toBe(false);
    await clock.advance(1);
    expect(bucket.take()).toBe(true);
  });

  it('saves no more than one second', async () => {
    const clock = new VirtualClock();
    const bucket = new TokenBucket(clock, 5);
    await clock.advance(3_600_000);
    expect(takes(bucket, 100)).toBe(5);
  });
});
