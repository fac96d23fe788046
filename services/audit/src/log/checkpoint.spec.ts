import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import type { ApiName, ApiRequest, ApiResponse, LogCheckpoint } from '#libs/contracts';
import { streams } from '#libs/contracts';
import {
  hash_bytes,
  leafHash,
  openNote,
  parseCheckpoint,
  readNotes,
  verifyConsistency,
  verifyInclusion,
} from '#libs/tlog';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';
import type { RunningAudit } from '../audit.process.js';

const origin = 'tradefleet/audit';

describe('the checkpoints of the log', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let audit: RunningAudit;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres.stop();
  });
  beforeEach(async () => {
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      checkpointMs: 100,
      checkpointEvents: 1_000_000,
    });
    audit = await fixture.start();
  });
  afterEach(async () => {
    await fixture.stop();
  });

  const leavesPath = () => join(fixture.config.witnessDir, 'tradefleet_audit.leaves');
  const notesPath = () => join(fixture.config.witnessDir, 'tradefleet_audit.checkpoints');
  const leaves = async () => await readFile(leavesPath());
  const notes = async () => readNotes(await readFile(notesPath(), 'utf8'));
  const ask = async <N extends ApiName>(name: N, request: ApiRequest<N>): Promise<ApiResponse<N>> =>
    await fixture.messaging.call(name, request);
  const state = async () => await ask('log.checkpoint', {});

  /** Records events, and waits until a checkpoint covers them. */
  async function record(count: number): Promise<LogCheckpoint> {
    const { size } = await state();
    await fixture.publish(...Array.from({ length: count }, () => fixture.event()));
    return await checkpointOf(size + count);
  }

  async function checkpointOf(size: number): Promise<LogCheckpoint> {
    return await waitFor(
      async () => {
        const { checkpoint } = await state();
        return checkpoint !== null && checkpoint.size >= size ? checkpoint : null;
      },
      { what: `a checkpoint of ${size} records` },
    );
  }

  async function divergence() {
    return await waitFor(async () => (await state()).diverged, { what: 'the divergence' });
  }

  async function restartAfter(change: () => Promise<unknown>): Promise<void> {
    await audit.stop();
    await change();
    audit = await fixture.start();
  }

  it('are in the witness, the database and the stream, and say the same', async () => {
    await record(3);
    const last = await record(2);
    const inFile = await notes();
    expect(inFile.at(-1)).toBe(last.note);
    const key = createPublicKey({ key: { ...(await state()).key }, format: 'jwk' });
    for (const note of inFile) expect(parseCheckpoint(openNote(note, origin, key))).toMatchObject({ origin });
    const stored = await fixture.query<{ leaf_hash: Buffer }>(
      'SELECT leaf_hash FROM audit.events ORDER BY position',
    );
    expect(await leaves()).toEqual(Buffer.concat(stored.map((row) => row.leaf_hash)));
    const manager = await fixture.messaging.manager();
    await waitFor(
      async () => {
        const message = await manager.streams.getMessage(streams.checkpoints.name, {
          last_by_subj: 'fleet.v1.log.checkpoint',
        });
        return message?.json<LogCheckpoint>().note === last.note;
      },
      { what: 'the copy on the stream' },
    );
    const { checkpoints } = await ask('log.checkpoints', { order: 'asc' });
    expect(checkpoints.map(({ note }) => note)).toEqual(inFile);
    const first = await ask('log.checkpoints', { order: 'asc', limit: 1 });
    expect(first.checkpoints).toHaveLength(1);
    if (first.next !== null)
      expect((await ask('log.checkpoints', { order: 'asc', after: first.next })).checkpoints).toEqual(
        checkpoints.slice(1),
      );
  });

  it('prove that an event is in the log and that the log only grew', async () => {
    const before = await record(2);
    const after = await record(300);
    const [event] = await fixture.query<{ id: string }>(
      'SELECT id FROM audit.events ORDER BY position OFFSET 1 LIMIT 1',
    );
    const found = await ask('log.inclusion', { id: event?.id ?? '' });
    const bytes = (text: string) => Buffer.from(text, 'base64');
    expect(found).toMatchObject({ position: 1, size: after.size, root: after.root, note: after.note });
    expect(leafHash(found.line ?? '')).toEqual(bytes(found.leaf));
    const proof = {
      ...found,
      leaf: bytes(found.leaf),
      root: bytes(found.root),
      proof: found.proof.map(bytes),
    };
    expect(verifyInclusion(proof)).toBe(true);
    const grown = await ask('log.consistency', { from: before.size });
    expect(grown).toMatchObject({ fromRoot: before.root, toRoot: after.root, note: after.note });
    const { from, to } = grown;
    const claim = { from, to, fromRoot: bytes(grown.fromRoot), toRoot: bytes(grown.toRoot) };
    expect(verifyConsistency({ ...claim, proof: grown.proof.map(bytes) })).toBe(true);
    await expect(ask('log.inclusion', { position: 10_000 })).rejects.toMatchObject({
      code: 'record_not_found',
    });
    await expect(ask('log.inclusion', {})).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(ask('log.consistency', { from: 10_000 })).rejects.toMatchObject({
      code: 'record_not_found',
    });
  });

  it('give the records as they were hashed, in pages of any size', async () => {
    const { size } = await record(20);
    const lines: string[] = [];
    for (let from: number | null = 0; from !== null;) {
      const page: ApiResponse<'log.records'> = await ask('log.records', { from, limit: 7 });
      expect(page.entries.map(({ position }) => position)).toEqual(
        page.entries.map((_, index) => (from ?? 0) + index),
      );
      lines.push(...page.entries.map(({ line }) => line ?? ''));
      from = page.next;
    }
    expect(lines.length).toBeGreaterThanOrEqual(size);
    const hashes = Buffer.concat(lines.slice(0, size).map((line) => leafHash(line)));
    expect((await leaves()).subarray(0, hashes.length)).toEqual(hashes);
    await expect(ask('log.records', { from: 10_000 })).rejects.toMatchObject({ code: 'record_not_found' });
  });

  it('go on after an end in the middle of a note, of a hash, or between the two', async () => {
    await record(5);
    await restartAfter(async () => {
      const bytes = await leaves();
      await appendFile(notesPath(), `${origin}\n7\nabc`);
      await truncate(leavesPath(), bytes.length);
    });
    const kept = await record(3);
    expect((await notes()).at(-1)).toBe(kept.note);
    // Records of which the note did not come: the hash of one is whole, of the next torn.
    await audit.stop();
    audit = await fixture.start({ checkpointMs: 3_600_000 });
    await fixture.publish(fixture.event(), fixture.event());
    await waitFor(async () => (await state()).size >= kept.size + 2);
    await restartAfter(async () => {
      const rows = await fixture.query<{ leaf_hash: Buffer }>(
        'SELECT leaf_hash FROM audit.events WHERE position >= $1 ORDER BY position',
        [(await leaves()).length / hash_bytes],
      );
      expect(rows.length).toBeGreaterThanOrEqual(2);
      const ahead = Buffer.concat(rows.map((row) => row.leaf_hash)).subarray(0, hash_bytes + 5);
      await appendFile(leavesPath(), ahead);
    });
    const last = await checkpointOf(kept.size + 2);
    const all = await fixture.query<{ leaf_hash: Buffer }>(
      'SELECT leaf_hash FROM audit.events WHERE position < $1 ORDER BY position',
      [last.size],
    );
    expect(await leaves()).toEqual(Buffer.concat(all.map((row) => row.leaf_hash)));
    expect((await state()).diverged).toBeNull();
  });

  it('begin a new witness with what the database has signed notes of', async () => {
    const { size } = await record(3);
    await restartAfter(async () => await rm(fixture.config.witnessDir, { recursive: true }));
    const next = await record(1);
    expect(next.size).toBeGreaterThan(size);
    expect((await leaves()).length).toBe(next.size * hash_bytes);
  });

  it.each([
    [
      'the database was taken back',
      'shorter',
      `UPDATE audit_work.head SET size = 1, frontier = (SELECT leaf_hash FROM audit.events WHERE position = 0);
       DELETE FROM audit.events WHERE position > 0; DELETE FROM audit.checkpoints`,
    ],
    [
      'its end was cut off and made longer again',
      'other-records',
      `UPDATE audit.events SET leaf_hash = sha256('x') WHERE position = 4;
       UPDATE audit_work.head SET size = 5, frontier = (SELECT substr(frontier, 1, 32) FROM audit_work.head) || sha256('x')`,
    ],
    [
      'a leaf was changed',
      'other-records',
      `UPDATE audit.events SET leaf_hash = sha256('x') WHERE position = 1`,
    ],
  ])('end when %s, and it is told', async (_, what, sql) => {
    const before = await record(5);
    await restartAfter(async () => await fixture.query(sql));
    expect(await divergence()).toMatchObject({ what, witnessSize: before.size });
    const told = await waitFor(
      async () =>
        (
          await fixture.query<{ data: object }>(
            "SELECT data FROM audit.events WHERE type = 'tradefleet.audit.log-diverged'",
          )
        )[0],
      { what: 'the event' },
    );
    expect(told.data).toMatchObject({ what, origin });
    const health = await fixture.messaging.request<{ status: string }>('fleet.v1.internal.audit.health', {});
    expect(health.status).toBe('degraded');
    expect((await leaves()).length).toBe(before.size * hash_bytes);
    expect((await notes()).at(-1)).toBe(before.note);
  });

  it('end while the service runs, and go on when what was seen is back', async () => {
    const before = await record(4);
    const kept = await leaves();
    await truncate(leavesPath(), hash_bytes);
    await fixture.publish(fixture.event());
    expect(await divergence()).toMatchObject({ what: 'witness-damaged', witnessSize: 1 });
    await writeFile(leavesPath(), kept);
    await waitFor(async () => (await state()).diverged === null, { what: 'the end of the divergence' });
    expect((await checkpointOf(before.size + 1)).size).toBeGreaterThan(before.size);
  });

  it('end when a hash that was seen without a note is not that of its record', async () => {
    const { size } = await record(3);
    await restartAfter(async () => await appendFile(leavesPath(), Buffer.alloc(hash_bytes, 7)));
    // Until there is a record at its position, there is one too few.
    await fixture.publish(fixture.event());
    await waitFor(async () => (await state()).diverged?.what === 'other-records', { what: 'the divergence' });
    expect((await leaves()).length).toBe((size + 1) * hash_bytes);
  });

  it('end when the witness contradicts itself or is of another key', async () => {
    const { size } = await record(3);
    await restartAfter(async () => await truncate(leavesPath(), hash_bytes));
    expect(await divergence()).toMatchObject({
      what: 'witness-damaged',
      witnessSize: 1,
      size: expect.anything(),
    });
    expect(size).toBeGreaterThan(1);
    await restartAfter(async () => {
      await rm(fixture.config.witnessDir, { recursive: true });
      await rm(fixture.config.logKeyPath);
    });
    expect(await divergence()).toMatchObject({ what: 'other-records' });
  });

  it('are tried again while the witness cannot be written', async () => {
    await audit.stop();
    await rm(fixture.config.witnessDir, { recursive: true, force: true });
    await writeFile(fixture.config.witnessDir, 'in the way');
    audit = await fixture.start();
    await fixture.publish(fixture.event());
    await waitFor(async () => (await state()).size > 0);
    expect((await state()).checkpoint).toBeNull();
    await rm(fixture.config.witnessDir);
    await checkpointOf(1);
  });
});
