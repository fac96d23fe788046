import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The answer to a write that carried a key, to give it again. */
@Entity({ schema: 'scheduler', name: 'idempotency_keys' })
export class IdempotencyKeyEntity {
  @PrimaryColumn('text')
  key!: string;

  @Column('text', { name: 'operation_name' })
  operationName!: string;

  /** SHA-256, hexadecimal, over the canonical request without its key. */
  @Column('text', { name: 'request_hash' })
  requestHash!: string;

  @Column('jsonb')
  response!: unknown;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;
}
