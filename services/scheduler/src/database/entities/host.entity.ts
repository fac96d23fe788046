import type { Host, HostFingerprint, HostState, PublicJwk, RuntimeRef } from '#libs/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A machine with an agent. The three drain columns are set and cleared together. */
@Entity({ schema: 'scheduler', name: 'hosts' })
export class HostEntity {
  @PrimaryColumn('text')
  name!: string;

  @Column('text')
  state!: HostState;

  @Column('text')
  driver!: Host['driver'];

  @Column('text', { array: true })
  runtimes!: RuntimeRef[];

  @Column('jsonb')
  labels!: Record<string, string>;

  /** Over the labels its agent told. */
  @Column('jsonb', { name: 'operator_labels', default: {} })
  operatorLabels!: Record<string, string>;

  /** What its agent measured; null until it has told. */
  @Column('jsonb', { nullable: true })
  fingerprint!: HostFingerprint | null;

  /** Since when more is reserved than it has. */
  @Column('timestamptz', { name: 'overcommitted_at', nullable: true })
  overcommittedAt!: Date | null;

  @Column('integer', { name: 'cpu_millis' })
  cpuMillis!: number;

  @Column('integer', { name: 'memory_mib' })
  memoryMiB!: number;

  @Column('integer', { name: 'bots_max' })
  botsMax!: number;

  @Column('text', { name: 'agent_version' })
  agentVersion!: string;

  /** New with every start of the agent. */
  @Column('uuid')
  incarnation!: string;

  @Column('jsonb', { name: 'signing_key' })
  signingKey!: PublicJwk;

  @Column('jsonb', { name: 'sealing_key' })
  sealingKey!: PublicJwk;

  @Column('text', { name: 'drain_reason', nullable: true })
  drainReason!: string | null;

  @Column('text', { name: 'drain_by', nullable: true })
  drainBy!: string | null;

  @Column('timestamptz', { name: 'drain_at', nullable: true })
  drainAt!: Date | null;

  @Column('integer', { default: 1 })
  generation!: number;

  @Column('timestamptz', { name: 'registered_at', default: () => 'now()' })
  registeredAt!: Date;

  /** Written when the state changes and about once a minute. */
  @Column('timestamptz', { name: 'last_heartbeat_at', nullable: true })
  lastHeartbeatAt!: Date | null;
}
