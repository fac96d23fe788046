import { describe, expect, it } from '@jest/globals';
import { newId, type Heartbeat, type HeartbeatAck } from '#libs/contracts';
import { aCapacity } from '#libs/testing';
import { checkAnswer } from './heartbeat-answer.js';

const sent: Heartbeat = {
  host: 'h',
  incarnation: newId(),
  sequence: 7,
  capacity: aCapacity(),
  allocations: [],
};
const answer: HeartbeatAck = {
  host: 'h',
  incarnation: sent.incarnation,
  sequence: 7,
  term: 3,
  leaseTtlMs: 15_000,
  heartbeatIntervalMs: 3000,
  leases: [],
  stop: [],
};

describe('the answer to a heartbeat', () => {
  it('is taken from the leader, the same as before or a newer one', () => {
    expect(() => checkAnswer(sent, answer, 3)).not.toThrow();
    expect(() => checkAnswer(sent, answer, 1)).not.toThrow();
  });

  it.each<[string, Partial<HeartbeatAck>]>([
    ['another host', { host: 'i' }],
    ['an earlier start of the agent', { incarnation: newId() }],
    ['an earlier heartbeat', { sequence: 6 }],
    ['a later heartbeat', { sequence: 8 }],
  ])('is refused when it was made for %s', (_, fields) => {
    expect(() => checkAnswer(sent, { ...answer, ...fields }, 3)).toThrow(/bad_signature/);
  });

  it('is refused from a leader of an older term', () => {
    expect(() => checkAnswer(sent, answer, 4)).toThrow(/stale_epoch/);
  });
});
