import { liveStates } from '#libs/contracts';
import { liveMovesSql } from '../moves/move.states.sql.js';

const live = liveStates.map((state) => `'${state}'`).join(', ');

/**
 * Adds newly settled targets, counted in a row `c`, to their operation `o`, and ends it with the last of them: failed when
 * any has failed, else superseded when any was. For an UPDATE of operations.
 */
export const countSettledSql = `
  done = o.done + c.done,
  failed = o.failed + c.failed,
  superseded = o.superseded + c.superseded,
  state = CASE
    WHEN o.done + c.done < o.total THEN 'running'
    WHEN o.failed + c.failed > 0 THEN 'failed'
    WHEN o.superseded + c.superseded > 0 THEN 'superseded'
    ELSE 'succeeded' END,
  updated_at = now()`;

/** What those who tell of the operation need. */
export const settledColumnsSql = 'o.id, o.kind, o.state, o.requested_by, o.total, o.failed';

/**
 * Settles the running targets of the bots $1 (text[]); $2 is the count of failures from which a target has failed.
 * Touches no target of another bot and reads each bot's newest allocations by index, so it costs the same however
 * many targets an operation has; the counts of operations grow by what was settled, in one row each.
 * Gives the operations with newly settled targets.
 *
 * goal     succeeded when                                superseded when          failed when
 * running  its generation or a later one runs            it should not run        $2 failed lately, or it was given up
 * stopped  nothing of it lives                           it should run again      -
 * deleted  the bot is gone and nothing of it lives       -                        -
 * moved    nothing of it lives on the host to leave      the drain was ended      past the deadline of a drain that keeps
 * ..       by a rebalance: its move is done              it was cancelled         it failed
 * rolled-out is settled with its rollout, by nobody else
 */
export const settleTargetsSql = `
  WITH target AS (
    SELECT operation, bot, generation, goal, host
    FROM scheduler.operation_targets
    WHERE bot = ANY ($1::text[]) AND state = 'running' AND goal <> 'rolled-out'
    ORDER BY operation, bot
    FOR UPDATE
  ), fact AS (
    SELECT t.*,
      b.desired,
      b.failures,
      b.gave_up_at,
      b.queued_reason,
      a.locked_reason,
      alive.state AS alive_state,
      alive.bot_generation AS alive_generation,
      alive.host AS alive_host,
      newest.state AS newest_state,
      concat_ws(': ', newest.reason, newest.detail) AS newest_reason,
      h.drain_at,
      h.drain_overdue_at IS NOT NULL AND h.drain_on_deadline = 'keep' AND own.id IS NULL AND NOT EXISTS (
        SELECT 1 FROM scheduler.moves m WHERE m.account = b.account AND m.state IN (${liveMovesSql})) AS stays,
      own.state AS move_state,
      own.detail AS move_detail
    FROM target t
    LEFT JOIN scheduler.bots b ON b.name = t.bot
    LEFT JOIN scheduler.accounts a ON a.name = b.account
    LEFT JOIN scheduler.hosts h ON h.name = t.host
    LEFT JOIN LATERAL (
      SELECT state, bot_generation, host FROM scheduler.allocations
      WHERE bot = t.bot AND state IN (${live})
      ORDER BY epoch DESC LIMIT 1
    ) alive ON true
    LEFT JOIN LATERAL (
      SELECT state, reason, detail FROM scheduler.allocations
      WHERE bot = t.bot AND bot_generation >= t.generation AND created_at >= b.created_at
      ORDER BY epoch DESC LIMIT 1
    ) newest ON true
    LEFT JOIN LATERAL (
      SELECT id, state, detail FROM scheduler.moves m
      WHERE m.operation = t.operation AND m.bot = t.bot ORDER BY m.created_at DESC LIMIT 1
    ) own ON t.goal = 'moved'
  ), verdict AS (
    SELECT operation, bot, goal, desired, move_detail, queued_reason, locked_reason, newest_state, newest_reason,
      CASE goal
        WHEN 'running' THEN CASE
          WHEN alive_state = 'running' AND alive_generation >= generation AND desired = 'running' THEN 'succeeded'
          WHEN desired IS DISTINCT FROM 'running' THEN 'superseded'
          WHEN gave_up_at IS NOT NULL AND alive_state IS NULL THEN 'failed'
          WHEN newest_state = 'failed' AND failures >= $2::int THEN 'failed'
          ELSE 'running' END
        WHEN 'stopped' THEN CASE
          WHEN alive_state IS NULL THEN 'succeeded'
          WHEN desired = 'running' AND locked_reason IS NULL THEN 'superseded'
          ELSE 'running' END
        WHEN 'deleted' THEN CASE
          WHEN alive_state IS NULL AND desired IS NULL THEN 'succeeded'
          ELSE 'running' END
        ELSE CASE
          WHEN move_state = 'done' THEN 'succeeded'
          WHEN move_state = 'failed' THEN 'failed'
          WHEN move_state = 'cancelled' THEN 'superseded'
          WHEN move_state IS NOT NULL THEN 'running'
          WHEN alive_host IS DISTINCT FROM host THEN 'succeeded'
          WHEN drain_at IS NULL THEN 'superseded'
          WHEN stays THEN 'failed'
          ELSE 'running' END
      END AS state
    FROM fact
  ), settled AS (
    UPDATE scheduler.operation_targets t
    SET state = v.state, reason = left(v.reason, 300)
    FROM (
      SELECT operation, bot, state,
        CASE
          WHEN state = 'succeeded' THEN NULL
          WHEN state IN ('failed', 'superseded') AND move_detail IS NOT NULL THEN move_detail
          WHEN state = 'failed' AND goal = 'moved'
            THEN coalesce(queued_reason, 'It was not moved by the deadline') || '; it goes on where it is'
          WHEN state = 'failed' THEN newest_reason
          WHEN state = 'superseded' AND goal = 'moved' THEN 'The drain was ended'
          WHEN state = 'superseded' THEN 'A later change wants it ' || coalesce(desired, 'deleted')
          WHEN goal = 'moved' THEN queued_reason
          WHEN goal <> 'running' THEN NULL
          WHEN locked_reason IS NOT NULL THEN 'The account is locked: ' || locked_reason
          WHEN queued_reason IS NOT NULL THEN queued_reason
          WHEN newest_state IN ('failed', 'lost') THEN nullif(newest_reason, '')
        END AS reason
      FROM verdict
    ) v
    WHERE t.operation = v.operation AND t.bot = v.bot AND t.state = 'running'
      AND (v.state <> 'running' OR t.reason IS DISTINCT FROM left(v.reason, 300))
    RETURNING t.operation, t.state
  ), counted AS (
    SELECT operation,
      count(*)::int AS done,
      (count(*) FILTER (WHERE state = 'failed'))::int AS failed,
      (count(*) FILTER (WHERE state = 'superseded'))::int AS superseded
    FROM settled
    WHERE state <> 'running'
    GROUP BY operation
  ), held AS (
    SELECT o.id FROM scheduler.operations o
    WHERE o.id IN (SELECT operation FROM counted)
    ORDER BY o.id
    FOR UPDATE
  )
  UPDATE scheduler.operations o
  SET ${countSettledSql}
  FROM counted c JOIN held ON held.id = c.operation
  WHERE o.id = c.operation
  RETURNING ${settledColumnsSql}`;
