import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LogCheckpoint, newId, ProblemError, recordLine } from '#libs/contracts';
import { checkpointText, Frontier, inclusionProof, leafHash, signNote, verifierKey } from '#libs/tlog';
import { emptyFolder, runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

const origin = 'tradefleet/audit';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const { x = '' } = publicKey.export({ format: 'jwk' });
const jwk = { kty: 'OKP' as const, crv: 'Ed25519' as const, x };
const at = '2026-01-01T00:00:00.000Z';

const aLine = (sequence: number): string =>
  recordLine({
    ...{ v: 1, id: newId(), source: '/scheduler', incarnation: newId(), sequence },
    ...{ type: 'tradefleet.bot.created', subject: 'bot/b1', severity: 'notice', retention: 'audit' },
    ...{ actor: 'service:scheduler', subjectId: null, time: at, traceparent: null, recordedAt: at },
    ...{ signature: null, data: '{"bot":"b1"}' },
  });

/** A log that is answered for, page by page, and a witness of what it was. */
class ALog {
  readonly lines = Array.from({ length: 25 }, (_, index) => aLine(index + 1));
  readonly checkpoints: LogCheckpoint[] = [];

  constructor(readonly gateway: GatewayDouble) {
    this.checkpoints = [10, 20].map((size) => this.signed(size));
    gateway.answers = {
      'log.checkpoint': () => ({
        ...{
          origin,
          size: this.lines.length,
          checkpoint: this.checkpoints.at(-1) ?? null,
          diverged: null,
          damage: null,
        },
        ...{ key: jwk, verifierKey: verifierKey(origin, createPublicKey(privateKey)) },
      }),
      'log.checkpoints': ({ after }) => ({
        checkpoints: this.checkpoints.filter(({ size }) => size > Number(after ?? 0)),
        next: null,
      }),
      'log.records': ({ from, limit, frontier }) => {
        const to = Math.min(this.lines.length, from + Math.min(limit, 7));
        return {
          ...{ origin, size: this.lines.length, beyond: [] },
          entries: this.lines
            .slice(from, to)
            .map((line, index) => ({ position: from + index, line, archived: null }))
            .filter(({ line }) => line !== ''),
          next: to < this.lines.length ? to : null,
          frontier: frontier ? frontierOf(this.lines.slice(0, from)).hashes().toString('base64') : null,
        };
      },
      'log.inclusion': async ({ position = 0, size = 20 }) => {
        const hashes = Buffer.concat(this.lines.map((line) => leafHash(line)));
        const proof = await inclusionProof(position, size, async () => await Promise.resolve(hashes));
        return {
          ...{ origin, position, size, line: this.lines[position] ?? null },
          leaf: leafHash(this.lines[position] ?? '').toString('base64'),
          proof: proof.map((hash) => hash.toString('base64')),
          root: frontierOf(this.lines.slice(0, size)).root().toString('base64'),
          note: this.checkpoints.find((it) => it.size === size)?.note ?? null,
        };
      },
    };
  }

  /** The folder of a witness that has seen what the log is now. */
  witness(): string {
    const folder = emptyFolder();
    const file = (kind: string) => join(folder, `tradefleet_audit.${kind}`);
    writeFileSync(file('leaves'), Buffer.concat(this.lines.map((line) => leafHash(line))));
    writeFileSync(file('checkpoints'), this.checkpoints.map(({ note }) => note).join('\n'));
    writeFileSync(file('key.jwk'), JSON.stringify(jwk));
    return folder;
  }

  private signed(size: number): LogCheckpoint {
    const root = frontierOf(this.lines.slice(0, size)).root();
    const note = signNote(checkpointText({ origin, size, root }), origin, privateKey);
    return { origin, size, root: root.toString('base64'), note, createdAt: at };
  }
}

function frontierOf(lines: readonly string[]): Frontier {
  const frontier = Frontier.empty();
  for (const line of lines) frontier.append(leafHash(line));
  return frontier;
}

let gateway: GatewayDouble;
let log: ALog;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  log = new ALog(gateway);
});
afterEach(() => gateway.stop());

async function exported(...args: string[]): Promise<{ cwd: string; file: string }> {
  const cwd = emptyFolder();
  const ran = await runCli(['audit', 'export', '--out', 'log.ndjson', ...args], { gateway, cwd });
  expect(ran).toMatchObject({ code: 0 });
  return { cwd, file: join(cwd, 'log.ndjson') };
}

describe('audit export', () => {
  it('writes every record once, with the checkpoints where they belong', async () => {
    const { file, cwd } = await exported();
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(1 + 25 + 2 + 1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ export: 1, origin, from: 0, size: 25, isWhole: true });
    expect(lines.filter((line) => line.startsWith('{"v":1,'))).toEqual(log.lines);
    expect(JSON.parse(lines[11] ?? '')).toEqual({ checkpoint: log.checkpoints[0] });
    expect(readdirSync(cwd)).toEqual(expect.not.arrayContaining(['log.ndjson.part']));
    const again = await runCli(['audit', 'export', '--out', 'log.ndjson'], { gateway, cwd });
    expect(again).toMatchObject({ code: 2 });
  });

  it('leaves nothing behind when it fails', async () => {
    gateway.answers['log.records'] = () => new ProblemError('unavailable', 'The database is away.');
    const cwd = emptyFolder();
    const ran = await runCli(['audit', 'export', '--out', 'log.ndjson'], { gateway, cwd });
    expect(ran.code).toBe(3);
    expect(readdirSync(cwd).filter((name) => name.startsWith('log'))).toEqual([]);
  });
});

describe('audit verify', () => {
  it('needs no fleet, and says what the log was held against', async () => {
    const { cwd } = await exported();
    const alone = await runCli(['audit', 'verify', 'log.ndjson'], { cwd });
    expect(alone.code).toBe(0);
    expect(alone.stdout).toMatch(/The log is as it was seen: records 0 to 24\./);
    expect(alone.stdout).toMatch(/its own checkpoints only/);
    expect(alone.stderr).toMatch(/last 5 records are newer/);
    const ran = await runCli(['--json', 'audit', 'verify', 'log.ndjson', '--against', log.witness()], {
      cwd,
    });
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      ...{ isAsSeen: true, records: 25, checkpoints: 4, covered: 20, against: 'leaves', seen: 25 },
      ...{ keyFrom: 'witness', finding: null },
    });
  });

  it('names the first record that is not as it was, and ends with 1', async () => {
    const witness = log.witness();
    const before = log.lines[11] ?? '';
    log.lines[12] = aLine(99);
    const { cwd } = await exported();
    const ran = await runCli(['audit', 'verify', 'log.ndjson', '--against', witness], { cwd });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/changed at position 12\./);
    expect(ran.stdout).toContain((JSON.parse(log.lines[12]) as { id: string }).id);
    expect(ran.stdout).toContain((JSON.parse(before) as { id: string }).id);
    const alone = await runCli(['--json', 'audit', 'verify', 'log.ndjson'], { cwd });
    expect(JSON.parse(alone.stdout)).toMatchObject({ finding: { what: 'changed', position: 10, to: 20 } });
  });

  it('tells an empty place, and an end that is missing', async () => {
    const witness = log.witness();
    log.lines[3] = '';
    const { cwd } = await exported();
    const ran = await runCli(['--json', 'audit', 'verify', 'log.ndjson'], { cwd });
    expect(JSON.parse(ran.stdout)).toMatchObject({ finding: { what: 'removed', position: 3, records: 1 } });
    const shorter = new ALog(gateway);
    shorter.lines.splice(0, 25, ...log.lines.slice(0, 3));
    shorter.checkpoints.splice(0);
    const other = await exported();
    const old = await runCli(['--json', 'audit', 'verify', 'log.ndjson', '--against', witness], other);
    expect(JSON.parse(old.stdout)).toMatchObject({ finding: { what: 'older', position: 3, records: 22 } });
  });

  it('verifies a part by what stands before it', async () => {
    const { cwd } = await exported('--from', '8', '--to', '20');
    const ran = await runCli(['--json', 'audit', 'verify', 'log.ndjson', '--against', log.witness()], {
      cwd,
    });
    expect(JSON.parse(ran.stdout)).toMatchObject({
      isAsSeen: true,
      from: 8,
      size: 20,
      records: 12,
      covered: 20,
    });
  });

  it('refuses what is no export, no witness or no key, and says so', async () => {
    const { cwd, file } = await exported();
    const verify = async (...args: string[]) => await runCli(['audit', 'verify', ...args], { cwd });
    writeFileSync(join(cwd, 'cut.ndjson'), readFileSync(file, 'utf8').slice(0, 5000));
    expect(await verify('cut.ndjson')).toMatchObject({ code: 1 });
    writeFileSync(join(cwd, 'other.txt'), 'something else\n');
    expect(await verify('other.txt')).toMatchObject({ code: 1 });
    expect(await verify('nowhere.ndjson')).toMatchObject({ code: 2 });
    expect(await verify('log.ndjson', '--against', 'nowhere')).toMatchObject({ code: 2 });
    expect(await verify('log.ndjson', '--key', 'other.txt')).toMatchObject({ code: 1 });
    expect((await verify('log.ndjson', '--against', 'other.txt')).stderr).toMatch(
      /no checkpoint of tradefleet/,
    );
    mkdirSync(join(cwd, 'empty'));
    expect(await verify('log.ndjson', '--against', 'empty')).toMatchObject({ code: 2 });
    const stranger = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
    writeFileSync(join(cwd, 'key.jwk'), JSON.stringify({ kty: 'OKP', crv: 'Ed25519', x: stranger.x }));
    const ran = await runCli(['--json', 'audit', 'verify', 'log.ndjson', '--key', 'key.jwk'], { cwd });
    expect(JSON.parse(ran.stdout)).toMatchObject({ finding: { what: 'checkpoint', position: 10 } });
    const witness = log.witness();
    writeFileSync(join(witness, 'tradefleet_audit.leaves'), Buffer.alloc(25 * 32));
    expect((await verify('log.ndjson', '--against', witness)).code).toBe(1);
  });

  it('is not fooled by a witness whose hashes were made to fit', async () => {
    const witness = log.witness();
    log.lines[12] = aLine(99);
    writeFileSync(
      join(witness, 'tradefleet_audit.leaves'),
      Buffer.concat(log.lines.map((line) => leafHash(line))),
    );
    log.checkpoints.splice(0);
    const { cwd } = await exported();
    const ran = await runCli(['audit', 'verify', 'log.ndjson', '--against', witness], { cwd });
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.stderr).toMatch(/hashes of the witness are not those it has a signed checkpoint of/);
  });
});

describe('audit restore', () => {
  it('sends the records of an export with their positions, a request at a time', async () => {
    log.lines[3] = '';
    gateway.answers['log.restore'] = ({ records }) => ({ restored: records.length, present: 0, archived: 0 });
    const { cwd } = await exported();
    const ran = await runCli(['audit', 'restore', 'log.ndjson', '--from', '2', '--to', '6'], {
      gateway,
      cwd,
    });
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.stdout).toMatch(/3 records put back\./);
    expect(gateway.of('log.restore').map(({ request }) => request)).toEqual([
      { records: [2, 4, 5].map((position) => ({ position, line: log.lines[position] })) },
    ]);
    expect(await runCli(['audit', 'restore', 'log.ndjson'], { gateway, cwd })).toMatchObject({ code: 0 });
    const sent = gateway.of('log.restore').flatMap(({ request }) => request.records);
    expect(sent).toHaveLength(3 + 24);
  });

  it('says what was refused', async () => {
    gateway.answers['log.restore'] = () =>
      new ProblemError('invalid_transition', 'Another record stands there.');
    const { cwd } = await exported();
    const ran = await runCli(['audit', 'restore', 'log.ndjson'], { gateway, cwd });
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/Another record stands there/);
  });
});

describe('audit checkpoint and audit proof', () => {
  it('prints the note as it was signed, and proves an event by it later', async () => {
    const cwd = emptyFolder();
    const ran = await runCli(['audit', 'checkpoint'], { gateway, cwd });
    expect(ran).toMatchObject({ code: 0, stdout: log.checkpoints[1]?.note });
    writeFileSync(join(cwd, 'kept.txt'), log.checkpoints[0]?.note ?? '');
    const proof = await runCli(['audit', 'proof', '7', '--against', 'kept.txt'], { gateway, cwd });
    expect(proof.stdout).toMatch(/The event is in the log\./);
    expect(gateway.of('log.inclusion')[0]?.request).toEqual({ position: 7, size: 10 });
    log.lines[7] = aLine(70);
    const changed = await runCli(['audit', 'proof', '7', '--against', 'kept.txt'], { gateway, cwd });
    expect(changed).toMatchObject({ code: 1 });
    expect(changed.stderr).toMatch(/does not hold/);
    expect(await runCli(['audit', 'proof', 'nonsense'], { gateway, cwd })).toMatchObject({ code: 2 });
  });

  it('says when no more are made', async () => {
    const state = gateway.answers['log.checkpoint'];
    const diverged = { what: 'shorter' as const, size: 1, witnessSize: 9, detail: 'An older copy.' };
    gateway.answers['log.checkpoint'] = async (request) => {
      const answer = await state?.(request);
      if (answer === undefined || answer instanceof ProblemError) throw new Error('no state');
      return { ...answer, diverged };
    };
    const ran = await runCli(['audit', 'checkpoint'], { gateway });
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.stderr).toMatch(/An older copy/);
  });

  it('says what is damaged', async () => {
    const state = gateway.answers['log.checkpoint'];
    const damage = { what: 'row-missing' as const, position: 7, records: 2, detail: 'Its record is gone.' };
    gateway.answers['log.checkpoint'] = async (request) => {
      const answer = await state?.(request);
      if (answer === undefined || answer instanceof ProblemError) throw new Error('no state');
      return { ...answer, damage };
    };
    const ran = await runCli(['audit', 'checkpoint'], { gateway });
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.stderr).toMatch(/Damaged at 7, row-missing/);
  });
});
