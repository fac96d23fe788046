import { ProblemError, type Heartbeat, type HeartbeatAck } from '#libs/contracts';

/**
 * Whether a verified answer belongs to this very heartbeat and comes from a leader that is not outdated. Pure.
 * @throws ProblemError `bad_signature`: the answer to another request, `stale_epoch`: of an older term.
 */
export function checkAnswer(sent: Heartbeat, answer: HeartbeatAck, term_seen: number): void {
  const same =
    answer.host === sent.host && answer.incarnation === sent.incarnation && answer.sequence === sent.sequence;
  if (!same) throw new ProblemError('bad_signature', 'The answer belongs to another heartbeat.');
  if (answer.term < term_seen) {
    throw new ProblemError(
      'stale_epoch',
      `The answer is of term ${answer.term} and term ${term_seen} was seen: a scheduler that no longer leads.`,
    );
  }
}
