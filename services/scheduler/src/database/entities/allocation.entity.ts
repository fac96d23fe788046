import type { AllocationState, AttemptExit, EndReason, Stage, StopCommand } from '#libs/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One bot placed on one host under one epoch. Bots come and go; allocations stay as history. */
@Entity({ schema: 'scheduler', name: 'allocations' })
export class AllocationEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  bot!: string;

  @Column('text')
  account!: string;

  @Column('text')
  tenant!: string;

  @Column('text')
  host!: string;

  @Column('integer')
  epoch!: number;

  @Column('integer', { name: 'bot_generation' })
  botGeneration!: number;

  @Column('integer', { name: 'reserved_cpu_millis' })
  reservedCpuMillis!: number;

  @Column('integer', { name: 'reserved_memory_mib' })
  reservedMemoryMiB!: number;

  @Column('text')
  state!: AllocationState;

  @Column('text', { nullable: true })
  stage!: Stage | null;

  /** How often it was begun on its host. */
  @Column('integer', { default: 1 })
  attempt!: number;

  /** How the attempt before ended. */
  @Column('jsonb', { name: 'last_exit', nullable: true })
  lastExit!: AttemptExit | null;

  @Column('text', { nullable: true })
  reason!: EndReason | null;

  @Column('text', { nullable: true })
  detail!: string | null;

  @Column('integer', { name: 'exit_code', nullable: true })
  exitCode!: number | null;

  /** Set once when the scheduler wants it to end; becomes `reason` when it has. */
  @Column('text', { name: 'stop_reason', nullable: true })
  stopReason!: StopCommand['reason'] | null;

  /** Who wants it to end. */
  @Column('text', { name: 'stop_actor', nullable: true })
  stopActor!: string | null;

  @Column('timestamptz', { name: 'stop_requested_at', nullable: true })
  stopRequestedAt!: Date | null;

  /** When it must have ended at the latest. */
  @Column('timestamptz', { name: 'stop_deadline_at', nullable: true })
  stopDeadlineAt!: Date | null;

  /** When the newest command for it was put into the outbox. */
  @Column('timestamptz', { name: 'commanded_at', nullable: true })
  commandedAt!: Date | null;

  /** How often it was commanded, to wait longer before the next time. */
  @Column('integer', { name: 'commands_sent', default: 0 })
  commandsSent!: number;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'running_at', nullable: true })
  runningAt!: Date | null;

  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt!: Date | null;
}
