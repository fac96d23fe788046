import type { OperationState, OperationTarget } from '#libs/contracts';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One bot that an operation is to bring to a desired state at a generation. */
@Entity({ schema: 'scheduler', name: 'operation_targets' })
export class OperationTargetEntity {
  @PrimaryColumn('uuid')
  operation!: string;

  @PrimaryColumn('text')
  bot!: string;

  @Column('integer')
  generation!: number;

  @Column('text')
  goal!: OperationTarget['goal'];

  /** The host to leave; with the goal `moved` only. */
  @Column('text', { nullable: true })
  host!: string | null;

  @Column('text')
  state!: OperationState;

  @Column('text', { nullable: true })
  reason!: string | null;
}
