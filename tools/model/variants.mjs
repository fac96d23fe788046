/**
 * The variants of docs/models/lease.pml: what is taken away in each, and what must come of it. A rule of which nothing
 * comes when it is taken away is either a second layer, which is shown by taking the other one away too, or no rule.
 *
 * @typedef {object} Variant
 * @property {string} name
 * @property {string[]} defines names for `spin -D`
 * @property {'holds' | 'two_writers' | 'two_instances' | 'two_leaders' | 'is_reached'} expected `holds`: nothing can go
 *   wrong in any reachable state; the others are the assertion that must fail
 * @property {string} why one line
 * @property {boolean} bounded also in the bounded run
 * @property {boolean} [everyStep] every step of the model must have been taken: nothing in it is idle
 * @property {Record<string, number>} [measures] other than those of the run
 */

/** Sizes of a run. Smaller ones have the same rules over fewer states. */
export const MEASURES = {
  full: { TTL: 5, TERMS: 3 },
  bounded: { TTL: 4, TERMS: 2 },
};

const holds = (name, defines, why, more = {}) => variant(name, defines, 'holds', why, more);
/** `expected` is what the shortest counterexample comes upon first. */
const fails = (name, defines, why, expected = 'two_writers', more = {}) =>
  variant(name, defines, expected, why, more);
const variant = (name, defines, expected, why, more) => ({
  name,
  defines,
  expected,
  why,
  bounded: true,
  ...more,
});
const onlyFull = { bounded: false };
/** The most states of all; what it is about needs no more terms than two. */
const rogue = { bounded: false, measures: MEASURES.bounded };
const leaders = { measures: { TTL: 5, TERMS: 6 } };

/** Neither fence of the leader holds: its clock and the database let it answer after it has been succeeded. */
const ROGUE = ['NO_LEADER_CLOCK', 'NO_ANSWER_TERM', 'NO_ONE_LEADER'];

/** @type {readonly Variant[]} */
export const VARIANTS = [
  holds('complete', [], 'all rules, all faults: one writer, one instance, one leader', { everyStep: true }),
  holds('every-drift', ['EVERY_DRIFT'], 'clocks of any speed, not only the worst', {
    bounded: false,
    measures: MEASURES.bounded,
  }),
  fails('reach-lost', ['REACH_LOST'], 'a newer epoch does run: its host was lost', 'is_reached'),
  fails('reach-takeover', ['REACH_LOST_AFTER_TAKEOVER'], 'the same, by a second leader', 'is_reached'),
  fails('reach-ended', ['REACH_ENDED'], 'a newer epoch does follow a reported end', 'is_reached'),

  fails('send-time', ['NO_SEND_TIME'], 'the lease counts from the receipt of the answer', 'two_instances'),
  fails('lease-drift', ['NO_LEASE_DRIFT'], 'nobody reckons with the drift of clocks', 'two_instances'),
  fails('margin-kill', ['NO_MARGIN_KILL'], 'M without the time from SIGKILL to dead'),
  fails('margin-order', ['NO_MARGIN_ORDER'], 'M without the round trip of an order'),
  fails('lock-delay', ['NO_LOCK_DELAY'], 'no lock delay before the account is given away'),
  fails(
    'answer-match',
    ['NO_ANSWER_MATCH'],
    'the answer to an older heartbeat counts for the present one',
    'two_instances',
  ),
  fails('boottime', ['NO_BOOTTIME'], 'a clock that stands still while the host is suspended'),
  fails('order-check', ['NO_ORDER_CHECK'], 'the bot does not look at its lease before an order'),
  fails('supervisor', ['NO_SUPERVISOR_DEADLINE'], 'no supervisor, and the agent crashes', 'two_instances'),
  fails(
    'agent-kill',
    ['NO_AGENT_DEADLINE'],
    'no agent that kills, and the supervisor is stopped',
    'two_instances',
  ),
  fails(
    'end-is-final',
    ['NO_END_IS_FINAL'],
    'a bot begins again after its end was reported',
    'two_instances',
  ),
  fails(
    'leader-wait',
    ['NO_LEADER_WAIT'],
    'a new leader does not wait for the leases of the one before',
    'two_instances',
  ),
  fails('guard', ['NO_GUARD'], 'a write of the leader does not compare the term', 'two_instances'),

  fails('leader-clock', ['NO_LEADER_CLOCK'], 'a leader does not look at its own clock', 'two_leaders'),
  fails('takeover-watch', ['NO_TAKEOVER_WATCH'], 'a standby takes over at once', 'two_leaders'),
  fails('leader-drift', ['NO_LEADER_DRIFT'], 'a standby reckons with no drift', 'two_leaders'),
  fails('takeover-margin', ['NO_TAKEOVER_MARGIN'], 'a standby takes over without a margin', 'two_leaders'),
  holds('leaders', ['LEADERS_ONLY', 'RENEWAL_STEPS'], 'renewals sent, committed, answered one by one', {
    ...leaders,
  }),
  fails(
    'renewal-send-time',
    ['LEADERS_ONLY', 'RENEWAL_STEPS', 'NO_RENEWAL_SEND_TIME'],
    'a renewal counts from its answer',
    'two_leaders',
    leaders,
  ),

  holds('clock-alone', ['NO_ANSWER_TERM'], 'the clock of the leader suffices for its answers', onlyFull),
  holds(
    'database-alone',
    ['NO_LEADER_CLOCK', 'NO_TAKEOVER_WATCH', 'NO_ONE_LEADER'],
    'the term read with the answer suffices, whatever the clocks of the schedulers do',
    onlyFull,
  ),
  fails('neither', ROGUE, 'a leader with neither fence', 'two_instances'),
  holds(
    'term-check',
    [...ROGUE, 'ASSUME_SUCCESSOR_HEARD'],
    'with neither fence, hosts that have heard the successor are safe by their own check of the term',
    rogue,
  ),
  fails(
    'no-term-check',
    [...ROGUE, 'ASSUME_SUCCESSOR_HEARD', 'NO_TERM_CHECK'],
    'the same without that check',
    'two_instances',
    rogue,
  ),
  holds('no-begin-mark', ['NO_BEGIN_MARK'], 'an answer is refused to a host condemned meanwhile', onlyFull),
  holds('no-condemn-check', ['NO_CONDEMN_CHECK'], 'a host is heard when its heartbeat is taken up', onlyFull),
  fails(
    'neither-mark',
    ['NO_BEGIN_MARK', 'NO_CONDEMN_CHECK'],
    'without either of these two',
    'two_instances',
  ),
];
