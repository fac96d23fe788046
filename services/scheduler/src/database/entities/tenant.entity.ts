import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A client; owns accounts and bots. */
@Entity({ schema: 'scheduler', name: 'tenants' })
export class TenantEntity {
  @PrimaryColumn('text')
  name!: string;

  @Column('text', { name: 'display_name' })
  displayName!: string;

  /** Null is without a bound. */
  @Column('integer', { name: 'quota_bots', nullable: true })
  quotaBots!: number | null;

  @Column('integer', { name: 'quota_cpu_millis', nullable: true })
  quotaCpuMillis!: number | null;

  @Column('integer', { name: 'quota_memory_mib', nullable: true })
  quotaMemoryMiB!: number | null;

  @Column('integer', { default: 50 })
  priority!: number;

  @Column('integer', { default: 1 })
  generation!: number;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;
}
