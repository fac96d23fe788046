import type { ValueTransformer } from 'typeorm';

/** The driver gives a bigint as text; ours all fit a double exactly (BrokerLogin). */
export const bigintAsNumber: ValueTransformer = {
  to: (value: number): number => value,
  from: (value: string): number => Number(value),
};
