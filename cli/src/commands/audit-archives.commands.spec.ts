import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ArchiveWriter } from '#libs/archive';
import {
  archiveStatement,
  newId,
  recordLine,
  type LogRecord,
  type PartitionArchivedEventData,
} from '#libs/contracts';
import {
  checkpointText,
  Cover,
  Frontier,
  inclusionProof,
  leafHash,
  signNote,
  subtreesOf,
  verifierKey,
} from '#libs/tlog';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyFolder, runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

const origin = 'tradefleet/audit';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const { x = '' } = publicKey.export({ format: 'jwk' });
const jwk = { kty: 'OKP' as const, crv: 'Ed25519' as const, x };
const at = '2026-01-01T00:00:00.000Z';
const archive = newId();
/** Positions that are in the archive alone, and where the log tells of it. */
const gone = [2, 3, 5];
const toldAt = 10;

const aLine = (sequence: number, fields: Partial<LogRecord> = {}): string =>
  recordLine({
    ...{ v: 1, id: newId(), source: '/scheduler', incarnation: newId(), sequence },
    ...{ type: 'tradefleet.bot.created', subject: 'bot/b1', severity: 'notice', retention: 'audit' },
    ...{ actor: 'service:scheduler', subjectId: null, time: at, traceparent: null, recordedAt: at },
    ...{ signature: null, data: '{"bot":"b1"}' },
    ...fields,
  });

function treeOf(lines: readonly string[]): Frontier {
  const tree = Frontier.empty();
  for (const line of lines) tree.append(leafHash(line));
  return tree;
}

const noteOf = (lines: readonly string[]): string =>
  signNote(checkpointText({ origin, size: lines.length, root: treeOf(lines).root() }), origin, privateKey);

/** The archive of three records of a log of eight, as retention writes it. */
async function archiveOf(lines: readonly string[], folder: string) {
  const checkpoint = noteOf(lines);
  const head = { archive: 1 as const, id: archive, origin, class: 'audit' as const, month: '2026-01' };
  const writer = await ArchiveWriter.create(folder, { ...head, records: gone.length, checkpoint });
  let next = 0;
  const fill = async (to: number) => {
    for (const subtree of subtreesOf(next, to)) {
      const below = new Cover();
      for (const [n, line] of lines.slice(subtree.from, subtree.from + subtree.count).entries())
        below.record(n, leafHash(line));
      await writer.subtree(subtree, below.root());
    }
    next = to;
  };
  for (const position of gone) {
    await fill(position);
    await writer.record(position, lines[position] ?? '');
    next = position + 1;
  }
  await fill(lines.length);
  return await writer.finish();
}

let gateway: GatewayDouble;
let folder: string;
let file: string;
let told: { position: number; line: string; note: string; proof: string[] }[];
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  folder = emptyFolder();
  const lines = Array.from({ length: 8 }, (_, n) => aLine(n + 1));
  const written = await archiveOf(lines, folder);
  file = join(folder, written.file);
  const data: Omit<PartitionArchivedEventData, 'statement'> = {
    ...{
      archive,
      origin,
      class: 'audit',
      month: '2026-01',
      records: 3,
      first: 2,
      last: 5,
      bytes: written.bytes,
    },
    ...{ sha256: written.sha256.toString('hex'), checkpointSize: 8, part: 1, parts: 1 },
    ranges: [[2, 3], [5, 5]], // prettier-ignore
  };
  const statement = sign(null, archiveStatement(data), privateKey).toString('base64');
  lines.push(aLine(9), aLine(10));
  const fields = {
    type: 'tradefleet.audit.partition-archived',
    source: '/audit',
    subject: `audit/${archive}`,
  };
  lines.push(aLine(11, { ...fields, data: JSON.stringify({ ...data, statement }) }), aLine(12));
  const note = noteOf(lines);
  const hashes = Buffer.concat(lines.map((line) => leafHash(line)));
  const proof = await inclusionProof(toldAt, lines.length, async () => await Promise.resolve(hashes));
  told = [
    ...[
      { position: toldAt, line: lines[toldAt] ?? '', note, proof: proof.map((it) => it.toString('base64')) },
    ],
  ];
  const root = treeOf(lines).root().toString('base64');
  const checkpoint = { origin, size: lines.length, root, note, createdAt: at };
  gateway.answers = {
    'log.checkpoint': () => ({
      ...{ origin, size: lines.length, checkpoint, diverged: null, damage: null, key: jwk },
      verifierKey: verifierKey(origin, createPublicKey(privateKey)),
    }),
    'log.checkpoints': () => ({ checkpoints: [checkpoint], next: null }),
    'log.records': ({ from }) => ({
      ...{ origin, size: lines.length, beyond: [], next: null },
      entries: lines.flatMap((line, position) => {
        const leaf = leafHash(line).toString('base64');
        if (position < from) return [];
        return gone.includes(position)
          ? { position, line: null, archived: { archive, leaf } }
          : { position, line, archived: null };
      }),
      frontier: treeOf(lines.slice(0, from)).hashes().toString('base64'),
    }),
    // One on each page.
    'archives.records': ({ after }) => ({
      records: after === undefined ? [] : told,
      next: after === undefined ? '0' : null,
    }),
  };
});
afterEach(() => gateway.stop());

async function exported(...args: string[]) {
  const cwd = emptyFolder();
  const ran = await runCli(['audit', 'export', '--out', 'log.ndjson', ...args], { gateway, cwd });
  expect(ran).toMatchObject({ code: 0 });
  return { cwd, ran };
}
const verified = async (cwd: string, ...args: string[]) =>
  await runCli(['audit', 'verify', 'log.ndjson', ...args], { cwd });

describe('a log of which records are archived', () => {
  it('is exported with what the log tells of the archive, before the first record it has', async () => {
    const { cwd, ran } = await exported();
    expect(ran.stdout).toContain(
      `Those in archive ${archive} are left out, as the log tells at position ${toldAt}.`,
    );
    const lines = readFileSync(join(cwd, 'log.ndjson'), 'utf8').split('\n');
    const at_line = lines.findIndex((line) => line.startsWith('{"archive":'));
    expect(JSON.parse(lines[at_line] ?? '')).toEqual({ archive: { archive, ...told[0] } });
    expect(lines[at_line + 1]).toMatch(/^\{"archived":\{"from":2,/);
    expect(lines.filter((line) => line.startsWith('{"archive":'))).toHaveLength(1);
    const as_json = await runCli(['audit', 'export', '--out', 'again', '--json'], { gateway, cwd });
    expect(JSON.parse(as_json.stdout)).toMatchObject({ records: 12, archives: [{ archive, toldAt }] });
  });

  it('is as it was seen, also a part of it that does not have that record', async () => {
    for (const part of [[], ['--to', '6'], ['--from', '3', '--to', '9']]) {
      const { cwd } = await exported(...part);
      const ran = await verified(cwd);
      expect(ran).toMatchObject({ code: 0 });
      expect(ran.stdout).toContain(`3 in archive ${archive}, told at ${toldAt}`);
    }
  });

  it('was changed when the log tells of no such archive', async () => {
    gateway.answers['archives.records'] = () => ({ records: [], next: null });
    const { cwd, ran } = await exported();
    expect(ran.stdout).toContain('the log does not tell of it');
    const found = await verified(cwd);
    expect(found).toMatchObject({ code: 1 });
    expect(found.stdout).toContain('removed at position 2');
    expect(await verified(cwd, '--to', '2')).toMatchObject({ code: 0 });
    expect((await verified(cwd, '--from', '4')).stdout).toContain('removed at position 5');
  });

  it('is proved with its files', async () => {
    const { cwd } = await exported();
    const good = await verified(cwd, '--archives', folder);
    expect(good).toMatchObject({ code: 0 });
    expect(good.stdout).toContain('1 of 1 archives are there and proved.');
    const bytes = readFileSync(file);
    writeFileSync(file, Buffer.concat([bytes, Buffer.from('x')]));
    const other = await verified(cwd, '--archives', folder, '--json');
    expect(other).toMatchObject({ code: 1 });
    expect(JSON.parse(other.stdout)).toMatchObject({
      isAsSeen: true,
      files: [{ archive, fault: expect.stringContaining('SHA-256') }],
    });
    rmSync(file);
    const missing = await verified(cwd, '--archives', folder);
    expect(missing).toMatchObject({ code: 1 });
    expect(missing.stdout).toContain('It is not there.');
    expect(missing.stdout).toContain('0 of 1 archives');
  });
});
