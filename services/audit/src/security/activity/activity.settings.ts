import { z } from 'zod';

const threshold = z.int().min(2).max(10_000);
const windowMs = z.int().min(1000).max(3_600_000);
const burst = (count: number, ms: number) =>
  z.strictObject({ threshold: threshold.default(count), windowMs: windowMs.default(ms) }).prefault({});

/** From how many within which time activity is unusual. */
export const UnusualActivitySettings = z.strictObject({
  /** Requests without valid credentials, from one address. */
  failedLogins: burst(5, 300_000),
  /** Registrations and refused joins of one host; requests without valid credentials from one address. */
  connectionRate: burst(50, 60_000),
  /** Warnings and critical events of one producer that tell of something that failed or was refused. */
  errorRate: burst(10, 60_000),
  /** Events of one producer in an hour. */
  volume: z
    .strictObject({
      /** Fewer are never unusual. */
      eventsMin: z.int().min(1).max(1_000_000_000).default(100),
      /** More than so many times its median hour of the last seven days. */
      factor: z.number().min(1).max(1000).default(5),
      /** Hours that must be known of it, quiet ones too, before it is judged. */
      hoursMin: z.int().min(1).max(168).default(24),
    })
    .prefault({}),
});
export type UnusualActivitySettings = z.output<typeof UnusualActivitySettings>;
