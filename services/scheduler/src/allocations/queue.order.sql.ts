/**
 * When a waiting bot `b` of the tenant `t` has its turn; the smallest goes first. It is the moment it began to wait,
 * brought forward by `ageing_ms` for each point of its priority and its tenant's. So of two bots the one with the higher
 * priority goes first, unless the other has waited longer by the difference in points; and as both have at most 100,
 * nobody is overtaken by a bot that began to wait more than 200 times `ageing_ms` later: nothing starves.
 *
 * @param now for a bot that has not waited yet; SQL, as is `ageing_ms`
 */
export const queueTurnSql = (now: string, ageing_ms: string): string =>
  `coalesce(b.queued_at, ${now}::timestamptz) - make_interval(secs =>
     (coalesce((b.policies->>'priority')::int, 50) + t.priority) * ${ageing_ms}::float8 / 1000)`;
