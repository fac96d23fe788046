import { Column, Entity, PrimaryColumn } from 'typeorm';
import { bigintAsNumber } from './bigint.transformer.js';

/** A trading account at a broker. The three lock columns are set and cleared together. */
@Entity({ schema: 'scheduler', name: 'accounts' })
export class AccountEntity {
  @PrimaryColumn('text')
  name!: string;

  @Column('text')
  tenant!: string;

  @Column('text')
  server!: string;

  @Column('bigint', { transformer: bigintAsNumber })
  login!: number;

  @Column('text', { name: 'locked_reason', nullable: true })
  lockedReason!: string | null;

  @Column('text', { name: 'locked_by', nullable: true })
  lockedBy!: string | null;

  @Column('timestamptz', { name: 'locked_at', nullable: true })
  lockedAt!: Date | null;

  @Column('integer', { default: 1 })
  generation!: number;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;
}
