import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A client; owns accounts and bots. */
@Entity({ schema: 'scheduler', name: 'tenants' })
export class TenantEntity {
  @PrimaryColumn('text')
  name!: string;

  @Column('text', { name: 'display_name' })
  displayName!: string;

  @Column('integer', { default: 1 })
  generation!: number;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;
}
