import { Injectable } from '@nestjs/common';
import type { Leader } from '#libs/contracts';
import { DataSource } from 'typeorm';

interface Row {
  term: number;
  holder: string;
  since: Date;
  renewed_at: Date;
}

/** Who leads, for people. */
@Injectable()
export class LeaderRepository {
  constructor(private readonly dataSource: DataSource) {}

  async read(): Promise<Leader> {
    const [row] = await this.dataSource.query<Row[]>(
      'SELECT term, holder, since, renewed_at FROM scheduler.leadership',
    );
    if (row === undefined) throw new Error('The leadership row is missing: restore it from a backup.');
    const { term, holder, since, renewed_at } = row;
    return { term, holder, since: since.toISOString(), renewedAt: renewed_at.toISOString() };
  }
}
