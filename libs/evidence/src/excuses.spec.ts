import { describe, expect, it } from '@jest/globals';
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import {
  archiveStatement,
  newId,
  recordLine,
  type LogRecord,
  type PartitionArchivedEventData,
} from '#libs/contracts';
import { checkpointText, Frontier, inclusionProof, leafHash, signNote } from '#libs/tlog';
import { Excuses } from './excuses.js';

const origin = 'spec/log';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const thief = generateKeyPairSync('ed25519').privateKey;
const archive = newId();
const at = '2026-01-01T00:00:00.000Z';
const type = 'tradefleet.audit.partition-archived';

type Told = Omit<PartitionArchivedEventData, 'statement'>;
interface Lie {
  readonly told?: Partial<Told>;
  /** What is written although something else was signed. */
  readonly written?: Partial<Told>;
  readonly record?: Partial<LogRecord>;
  readonly statementKey?: KeyObject;
  readonly noteKey?: KeyObject;
  /** Where the record is said to stand; it stands at 5. */
  readonly position?: number;
  readonly changed?: (line: string) => string;
}

/** A record at the position 5 of a log of 8, as an export has it. */
async function marker(lie: Lie = {}) {
  const told: Told = {
    ...{ archive, origin, class: 'trading', month: '2026-01', records: 5, first: 0, last: 9, bytes: 1 },
    ...{ sha256: 'a'.repeat(64), checkpointSize: 10, part: 1, parts: 1 },
    ranges: [[0, 1], [4, 5], [9, 9]], // prettier-ignore
    ...lie.told,
  };
  const signed = sign(null, archiveStatement(told), lie.statementKey ?? privateKey);
  const statement = signed.toString('base64');
  const line = recordLine({
    ...{ v: 1, id: newId(), source: '/audit', incarnation: newId(), sequence: 1, type },
    ...{ subject: `audit/${archive}`, severity: 'notice', retention: 'audit', actor: 'user:ada' },
    ...{ subjectId: null, time: at, traceparent: null, recordedAt: at, signature: null },
    data: JSON.stringify({ ...told, ...lie.written, statement }),
    ...lie.record,
  });
  const leaves = Array.from({ length: 8 }, (_, n) => leafHash(n === 5 ? line : `${n}`));
  const tree = Frontier.empty();
  for (const leaf of leaves) tree.append(leaf);
  const text = checkpointText({ origin, size: 8, root: tree.root() });
  const proof = await inclusionProof(5, 8, async () => await Promise.resolve(Buffer.concat(leaves)));
  return {
    ...{ archive, position: lie.position ?? 5, line: lie.changed?.(line) ?? line },
    ...{
      note: signNote(text, origin, lie.noteKey ?? privateKey),
      proof: proof.map((hash) => hash.toString('base64')),
    },
  };
}

const covered = (excuses: Excuses) =>
  Array.from({ length: 12 }, (_, position) => position).filter((position) =>
    excuses.covers(archive, position),
  );

describe('what may be missing in a log', () => {
  it('is what its records say that an archive has', async () => {
    const excuses = new Excuses(origin, publicKey);
    expect(covered(excuses)).toEqual([]);
    excuses.take(await marker());
    expect(covered(excuses)).toEqual([0, 1, 4, 5, 9]);
    expect(excuses.covers(newId(), 0)).toBe(false);
    expect(excuses.archives).toMatchObject([{ archive, records: 5, toldAt: 5 }]);
    // The log goes on over the same records under another origin.
    const earlier = new Excuses(origin, publicKey);
    earlier.take(await marker({ told: { origin: 'earlier/log' } }));
    expect(covered(earlier)).toEqual([0, 1, 4, 5, 9]);
    // The second part, of which the ranges stand before those of the first.
    excuses.take(await marker({ told: { ranges: [[2, 2]] } }));
    expect(covered(excuses)).toEqual([0, 1, 2, 4, 5, 9]);
    expect(excuses.archives).toHaveLength(1);
  });

  it.each<[string, Lie]>([
    ['that another key has signed', { statementKey: thief }],
    ['of which another log was signed', { told: { origin: 'another/log' }, written: { origin } }],
    ['of which another archive was signed', { told: { archive: newId() }, written: { archive } }],
    ['of another archive', { told: { archive: newId() } }],
    ['with more ranges than were signed', { written: { ranges: [[0, 11]] } }],
    ['with another file', { written: { sha256: 'b'.repeat(64) } }],
    ['under a checkpoint of another key', { noteKey: thief }],
    ['that stands elsewhere', { position: 4 }],
    ['behind the checkpoint', { position: 8 }],
    ['that is not in the log', { changed: (line) => line.replace('"sequence":1', '"sequence":2') }],
    ['of another producer', { record: { source: '/scheduler' } }],
    ['of another type', { record: { type: 'tradefleet.audit.partition-dropped' } }],
    ['that says nothing', { record: { data: 'no JSON' } }],
    ['that says something else', { record: { data: '{}' } }],
  ])('is not excused by a record %s', async (_what, lie) => {
    const excuses = new Excuses(origin, publicKey);
    excuses.take(await marker(lie));
    expect(covered(excuses)).toEqual([]);
    expect(excuses.archives).toEqual([]);
  });
});
