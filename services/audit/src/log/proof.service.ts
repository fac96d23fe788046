import type {
  LogCheckpointList,
  LogCheckpointPage,
  LogConsistency,
  LogConsistencyGet,
  LogInclusion,
  LogInclusionGet,
  LogState,
} from '#libs/contracts';
import { consistencyProof, hashAt, inclusionProof, rootAt, tile_hashes, type ReadTile } from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { DamageRepository } from '../self-check/damage.repository.js';
import { CheckpointService } from './checkpoint.service.js';
import { LOG_KEY, type LogKey } from './log-key.js';
import { LogReader } from './log.reader.repository.js';

const base64 = (hash: Buffer): string => hash.toString('base64');

/** Proves the log to whoever holds a checkpoint of it. */
@Injectable()
export class ProofService {
  constructor(
    private readonly reader: LogReader,
    private readonly checkpoints: CheckpointService,
    private readonly damage: DamageRepository,
    @Inject(LOG_KEY) private readonly key: LogKey,
  ) {}

  async state(): Promise<LogState> {
    const { origin } = this.key;
    // Read before the size, so that it is never of more records than there are unless some are gone.
    const checkpoint = await this.reader.lastCheckpoint(origin);
    const { size } = await this.reader.head();
    return {
      origin,
      size,
      checkpoint,
      diverged: this.checkpoints.diverged,
      damage: await this.damage.first(),
      key: this.key.publicJwk,
      verifierKey: this.key.verifierKey,
    };
  }

  async list({ order, limit, after }: LogCheckpointList): Promise<LogCheckpointPage> {
    const from = after === undefined ? null : Number(after);
    const { origin } = await this.reader.head();
    const found = await this.reader.checkpoints(origin, order, from, limit + 1);
    const checkpoints = found.slice(0, limit);
    return { checkpoints, next: found.length > limit ? `${checkpoints.at(-1)?.size ?? 0}` : null };
  }

  async inclusion({ id, position, size }: LogInclusionGet): Promise<LogInclusion> {
    const head = await this.reader.head();
    const at = position ?? (id === undefined ? null : await this.reader.positionOf(id));
    if (at === null || at >= head.size) throw refusal.noSuchRecord();
    const within = await this.sizeOr(size, head);
    if (at >= within) throw refusal.noCheckpoint();
    const read = this.reader.tiles(head.size);
    const [line, note] = [await this.reader.line(at), await this.reader.noteOf(head.origin, within)];
    return {
      ...{ origin: head.origin, position: at, size: within, line, note },
      leaf: base64(await leafAt(at, read)),
      proof: (await inclusionProof(at, within, read)).map(base64),
      root: base64(await rootAt(within, read)),
    };
  }

  async consistency({ from, to }: LogConsistencyGet): Promise<LogConsistency> {
    const head = await this.reader.head();
    const grown = await this.sizeOr(to, head);
    if (from > head.size) throw refusal.noSuchSize(head.size);
    if (from > grown) throw refusal.noCheckpoint();
    const read = this.reader.tiles(head.size);
    return {
      ...{ origin: head.origin, from, to: grown, note: await this.reader.noteOf(head.origin, grown) },
      fromRoot: base64(await rootAt(from, read)),
      toRoot: base64(await rootAt(grown, read)),
      proof: (await consistencyProof(from, grown, read)).map(base64),
    };
  }

  /** The size that was asked for, or that of the last checkpoint. */
  private async sizeOr(
    asked: number | undefined,
    head: { readonly origin: string; readonly size: number },
  ): Promise<number> {
    if (asked !== undefined) {
      if (asked > head.size) throw refusal.noSuchSize(head.size);
      return asked;
    }
    const last = await this.reader.lastCheckpoint(head.origin);
    if (last === null || last.size > head.size) throw refusal.noCheckpoint();
    return last.size;
  }
}

async function leafAt(position: number, read: ReadTile): Promise<Buffer> {
  const tile = await read(0, Math.floor(position / tile_hashes));
  return hashAt(tile, position % tile_hashes);
}
