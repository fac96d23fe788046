import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The last epoch given out for an account. The row is made with the account's first allocation. */
@Entity({ schema: 'scheduler', name: 'fences' })
export class FenceEntity {
  @PrimaryColumn('text')
  account!: string;

  @Column('integer')
  epoch!: number;
}
