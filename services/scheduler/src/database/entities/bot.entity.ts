import type { Constraint, DesiredState, Parameters, Policies, Resources, RuntimeName } from '#libs/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What should run for one account. A deleted one stays, desired `deleted`, until nothing of it runs. */
@Entity({ schema: 'scheduler', name: 'bots' })
export class BotEntity {
  @PrimaryColumn('text')
  name!: string;

  @Column('text')
  tenant!: string;

  @Column('text')
  account!: string;

  @Column('text')
  runtime!: RuntimeName;

  /** Which of the runtime's images; null for the default of the host. */
  @Column('text', { nullable: true })
  version!: string | null;

  @Column('jsonb')
  parameters!: Parameters;

  @Column('jsonb')
  resources!: Resources;

  @Column('jsonb')
  constraints!: Constraint[];

  @Column('jsonb')
  policies!: Policies;

  @Column('text')
  desired!: DesiredState;

  @Column('integer', { default: 1 })
  generation!: number;

  /** Why no host can take it at present; null when it is placed or should not run. */
  @Column('text', { name: 'queued_reason', nullable: true })
  queuedReason!: string | null;

  @Column('timestamptz', { name: 'queued_at', nullable: true })
  queuedAt!: Date | null;

  /** Failures within the window of its policy. */
  @Column('integer', { default: 0 })
  failures!: number;

  /** The earliest time of the next try. */
  @Column('timestamptz', { name: 'retry_at', nullable: true })
  retryAt!: Date | null;

  /** Failures that may count, the oldest first. */
  @Column('jsonb', { name: 'recent_failures', default: [] })
  recentFailures!: { at: number; host: string; reason: string | null }[];

  /** Since when it is not tried any more. */
  @Column('timestamptz', { name: 'gave_up_at', nullable: true })
  gaveUpAt!: Date | null;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  /** Who last changed what should run. */
  @Column('text', { name: 'changed_by' })
  changedBy!: string;
}
