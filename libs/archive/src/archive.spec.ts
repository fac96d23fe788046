import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId, recordLine, type LogRecord } from '#libs/contracts';
import { Cover, leafHash, subtreesOf, type Checkpoint } from '#libs/tlog';
import { ArchiveInvalid, checkArchive, fileSha256 } from './archive.check.js';
import type { ArchiveHead } from './archive.format.js';
import { ArchiveWriter } from './archive.writer.js';

const origin = 'spec/log';

function aRecord(n: number): LogRecord {
  const time = `2026-01-31T12:00:00.${String(n).padStart(3, '0')}Z`;
  return {
    ...{ v: 1, id: newId(Date.parse(time)), source: '/gateway', incarnation: newId(), sequence: n + 1 },
    ...{ type: 'tradefleet.session.refused', subject: 'session/gateway', severity: 'warning' },
    ...{ retention: 'session', actor: 'user:unknown', subjectId: null, time, traceparent: null },
    ...{ recordedAt: time, signature: null, data: JSON.stringify({ path: `"${'é'.repeat(n)}\\` }) },
  };
}

describe('an archive', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-archive-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  const head = (records: number): ArchiveHead => ({
    ...{
      archive: 1,
      id: newId(),
      origin,
      class: 'session',
      month: '2026-01',
      records,
      checkpoint: 'the note',
    },
  });

  /** Every third record of a log of 100, the others as subtrees. */
  async function anArchive() {
    const all = Array.from({ length: 100 }, (_, n) => aRecord(n));
    const kept = all.flatMap((record, position) => (position % 3 === 0 ? { record, position } : []));
    const whole = new Cover();
    for (const [position, record] of all.entries()) whole.record(position, leafHash(recordLine(record)));
    const checkpoint: Checkpoint = { origin, size: all.length, root: whole.root() };
    const writer = await ArchiveWriter.create(join(folder, 'made', 'anew'), head(kept.length));
    let next = 0;
    const fill = async (to: number) => {
      for (const subtree of subtreesOf(next, to)) {
        const below = new Cover();
        for (const [n, record] of all.slice(subtree.from, subtree.from + subtree.count).entries())
          below.record(n, leafHash(recordLine(record)));
        await writer.subtree(subtree, below.root());
      }
      next = to;
    };
    for (const { record, position } of kept) {
      await fill(position);
      await writer.record(position, recordLine(record));
      next = position + 1;
    }
    await fill(all.length);
    return { writer, kept, checkpoint };
  }

  it('gives back what was put into it, proved', async () => {
    const { writer, kept, checkpoint } = await anArchive();
    const written = await writer.finish();
    const path = join(folder, 'made', 'anew', written.file);
    const found: { position: number; record: LogRecord }[] = [];
    const checked = await checkArchive(path, {
      openNote: (note, of) => (note === 'the note' && of === origin ? checkpoint : null),
      onRecord: (position, record) => found.push({ position, record }),
    });
    expect(found).toEqual(kept);
    expect(checked).toMatchObject({ checkpoint, first: 0, last: 99, head: { records: kept.length } });
    expect(await fileSha256(path)).toEqual(written.sha256);
    expect(await fileSha256(`${path}.other`)).toBeNull();
    for (const wrong of [null, { ...checkpoint, size: 99 }, { ...checkpoint, root: Buffer.alloc(32) }])
      await expect(checkArchive(path, { openNote: () => wrong })).rejects.toThrow(ArchiveInvalid);
  });

  it('has no file with its name before it is whole, and none when it is abandoned', async () => {
    const { writer } = await anArchive();
    const [name, ...others] = await readdir(join(folder, 'made', 'anew'));
    expect(name).toMatch(/\.part$/);
    expect(others).toEqual([]);
    await writer.abandon();
    expect(await readdir(join(folder, 'made', 'anew'))).toEqual([]);
  });

  it('says that it cannot be written', async () => {
    const blocked = head(1);
    await writeFile(join(folder, 'file'), '');
    await expect(ArchiveWriter.create(join(folder, 'file'), blocked)).rejects.toMatchObject({
      code: 'EEXIST',
    });
    const { writer } = await anArchive();
    // The folder goes while it is written.
    await rm(join(folder, 'made'), { recursive: true });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'ENOENT' });
    await writer.abandon();
  });

  it('is none when the file is something else', async () => {
    const path = join(folder, 'x.gz');
    await writeFile(path, 'no gzip at all');
    const nothing = { openNote: () => null };
    await expect(checkArchive(path, nothing)).rejects.toThrow(ArchiveInvalid);
    await expect(checkArchive(`${path}.other`, nothing)).rejects.toThrow(ArchiveInvalid);
  });
});
