import type { ArchiveRecords, ArchiveRecordsGet } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { ProofService } from '../log/proof.service.js';
import { ArchiveRecordsRepository } from './archive-records.repository.js';

/** On one page, so that it fits a message. */
const page_records = 4;

/** Gives the records by which the log tells of an archive, proved: whoever has the log's key needs nothing else to believe them. */
@Injectable()
export class ArchiveRecordsService {
  constructor(
    private readonly records: ArchiveRecordsRepository,
    private readonly proofs: ProofService,
  ) {}

  async list({ archive, after }: ArchiveRecordsGet): Promise<ArchiveRecords> {
    const found = await this.records.kept(
      archive,
      after === undefined ? -1 : Number(after),
      page_records + 1,
    );
    const records: ArchiveRecords['records'] = [];
    for (const { position, line } of found.slice(0, page_records)) {
      const { note, proof } = await this.proofs.inclusion({ position });
      if (note === null) throw refusal.noCheckpoint();
      records.push({ position, line, note, proof });
    }
    return { records, next: found.length > page_records ? `${records.at(-1)?.position ?? 0}` : null };
  }
}
