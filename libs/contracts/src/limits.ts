/** Bounds that both sides of a door agree on. Units stand last in the names. */
export const limits = {
  /** Largest request or event body, NATS and HTTP. */
  message_bytes_max: 256 * 1024,
  /** Largest `status.json` an agent reads from a bot. */
  status_file_bytes_max: 64 * 1024,
  /** Longest `operations.wait`. */
  operation_wait_ms_max: 30_000,
  /** Rows on one page of a list. */
  page_rows_max: 500,
  page_rows_default: 100,
  /** Longest `events.tail`. */
  tail_wait_ms_max: 30_000,
  /** Buckets of `events.count`: a day of minutes, with room. */
  count_buckets_max: 1500,
  /** Groups that `events.count` shows. */
  count_groups_max: 20,
  /** Bots in one manifest. */
  manifest_bots_max: 1000,
  /** How long an idempotency key is remembered. */
  idempotency_hours: 24,
} as const;
