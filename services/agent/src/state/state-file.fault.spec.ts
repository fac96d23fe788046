import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock, waitFor } from '#libs/testing';
import { StartupFault, StateUnavailable } from '../errors.js';
import { AgentDatabase } from './agent.database.js';
import { FencesRepository } from './fences.repository.js';
import { stateFileFault } from './state-file.fault.js';

/** As another agent does it, in a process of its own: locks the file, says so, and ends when told to. */
const holder = `
  const { DatabaseSync } = require('node:sqlite');
  const db = new DatabaseSync(process.argv[1]);
  db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS held (a)');
  process.stdout.write('held');
  process.stdin.resume().once('end', () => process.exit(0));
`;

describe('a state file that cannot be opened', () => {
  const logger = createLogger({ service: 'agent', level: 'silent' });
  let folder: string;
  let path: string;
  let letGo: () => Promise<void> = async () => undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-state-'));
    path = join(folder, 'agent.sqlite');
  });
  afterEach(async () => {
    await letGo();
    await rm(folder, { recursive: true, force: true });
  });

  async function hold(): Promise<void> {
    const child = spawn(process.execPath, ['--eval', holder, path], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = once(child, 'exit');
    letGo = async () => {
      child.stdin.end();
      await ended;
    };
    await once(child.stdout, 'data');
  }

  function thrown(): unknown {
    try {
      new AgentDatabase(path).close();
    } catch (error) {
      return error;
    }
    return null;
  }

  it('is waited for while another process holds it', async () => {
    await hold();
    const clock = new VirtualClock();
    const opening = AgentDatabase.open(path, { clock, logger });
    await waitFor(() => clock.sleeping === 1);
    await letGo();
    await clock.advance(1000);
    const db = await opening;
    await db.commit(() => new FencesRepository(db).raise('a', 1));
    db.close();
  });

  it('is not waited for without end', async () => {
    await hold();
    const clock = new VirtualClock();
    let fault: unknown = null;
    const opening = AgentDatabase.open(path, { clock, logger }).catch((error: unknown) => (fault = error));
    await waitFor(() => clock.sleeping === 1);
    await waitFor(
      async () => {
        await clock.advance(15_000);
        return fault !== null;
      },
      { timeoutMs: 30_000 },
    );
    await opening;
    expect(fault).toBeInstanceOf(StateUnavailable);
    expect(fault).toMatchObject({ held: true, message: expect.stringMatching(/in use by another process/) });
  }, 180_000);

  it('is not waited for any more once the agent is asked to end', async () => {
    await hold();
    const asked = new AbortController();
    const clock = new VirtualClock();
    const opening = AgentDatabase.open(path, { clock, logger, signal: asked.signal });
    await waitFor(() => clock.sleeping === 1);
    asked.abort();
    await expect(opening).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('needs a person when it is no database', async () => {
    await writeFile(path, 'lost and found '.repeat(1000));
    expect(thrown()).toBeInstanceOf(StartupFault);
    expect(thrown()).toMatchObject({
      message: expect.stringMatching(/is damaged: .*not a database.*move the file/),
    });
    // What a person may want to look at is left as it was.
    expect((await stat(path)).size).toBe(15_000);
  });

  it('needs a person when a page of it is damaged that its opening does not read', async () => {
    const db = new AgentDatabase(path);
    const fences = new FencesRepository(db);
    await db.commit(() => {
      for (let account = 0; account < 2000; account += 1) fences.raise(`account-${account}`, 1);
    });
    db.close();
    const raw = new DatabaseSync(path);
    const row = raw
      .prepare(
        `SELECT rootpage, (SELECT page_size FROM pragma_page_size) AS size FROM sqlite_schema WHERE name = 'fences'`,
      )
      .get();
    raw.close();
    const file = await open(path, 'r+');
    const size = Number(row?.['size']);
    await file.write(Buffer.alloc(size, 0xff), 0, size, (Number(row?.['rootpage']) - 1) * size);
    await file.close();
    expect(thrown()).toBeInstanceOf(StartupFault);
    expect(thrown()).toMatchObject({ message: expect.stringMatching(/is damaged/) });
  });

  it('needs a person when something else is in its place', async () => {
    await mkdir(path);
    expect(thrown()).toBeInstanceOf(StartupFault);
    expect(thrown()).toMatchObject({
      message: expect.stringMatching(/EISDIR.*state directory on a local disk/),
    });
  });

  it.each([
    [
      'another process, at a moment of its recovery',
      { errcode: 5 | (1 << 8) },
      /in use by another process/,
      true,
    ],
    ['a full disk', { errcode: 13 }, /Make room/, false],
    ['a full disk, told by the system', { code: 'ENOSPC' }, /Make room/, false],
    ['a disk that does not read', { errcode: 10 | (1 << 8) }, /Look at its disk/, false],
    ['a disk that does not flush', { errcode: 10 | (4 << 8) }, /Look at its disk/, false],
    ['a disk error, told by the system', { code: 'EIO' }, /Look at its disk/, false],
    ['want of memory', { errcode: 7 }, /memory and open files/, false],
  ])('may be opened later after %s', (_, fields, remedy, held) => {
    const fault = stateFileFault('/state', Object.assign(new Error('because'), fields));
    expect(fault).toBeInstanceOf(StateUnavailable);
    expect(fault).toMatchObject({ held, message: expect.stringMatching(remedy) });
  });

  it.each([
    ['a file of another user', { code: 'EACCES' }],
    ['a disk that is mounted read-only', { code: 'EROFS' }],
    ['a table that is not as it should be', { errcode: 1 }],
    ['an index that is damaged', { errcode: 11 | (3 << 8) }],
    ['what is no error of either', {}],
  ])('needs a person after %s', (_, fields) => {
    expect(stateFileFault('/state', Object.assign(new Error('because'), fields))).toBeInstanceOf(
      StartupFault,
    );
  });
});
