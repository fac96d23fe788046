import type { OperationKind, OperationState } from '#libs/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The trackable result of a command. `done` counts targets that ended in any way, failed and superseded ones too. */
@Entity({ schema: 'scheduler', name: 'operations' })
export class OperationEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  kind!: OperationKind;

  @Column('text')
  state!: OperationState;

  @Column('text', { name: 'requested_by' })
  requestedBy!: string;

  @Column('integer')
  total!: number;

  @Column('integer', { default: 0 })
  done!: number;

  @Column('integer', { default: 0 })
  failed!: number;

  @Column('integer', { default: 0 })
  superseded!: number;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt!: Date;
}
