import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { aStartCommand } from '#libs/testing';
import { StartupFault, StateUnavailable } from '../errors.js';
import { AgentDatabase } from './agent.database.js';
import { AllocationsRepository } from './allocations.repository.js';
import { schemaSteps } from './agent.schema.js';
import { FactsRepository } from './facts.repository.js';
import { FencesRepository } from './fences.repository.js';

describe('AgentDatabase', () => {
  let folder: string;
  let path: string;
  let db: AgentDatabase;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-state-'));
    path = join(folder, 'agent.sqlite');
    db = new AgentDatabase(path);
  });
  afterEach(async () => {
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is private', async () => {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('lets works that wait share a commit, each failing alone', async () => {
    const fences = new FencesRepository(db);
    const good = db.commit(() => fences.raise('a', 1));
    const bad = db.commit(() => {
      fences.raise('a', 99);
      throw new Error('no');
    });
    const after = db.commit(() => fences.epoch('a'));
    await good;
    await expect(bad).rejects.toThrow('no');
    await expect(after).resolves.toBe(1);
  });

  it('keeps what was committed and never lowers a fence', async () => {
    const fences = new FencesRepository(db);
    await db.commit(() => {
      fences.raise('a', 5);
      fences.raise('a', 3);
    });
    db.close();
    db = new AgentDatabase(path);
    expect(new FencesRepository(db).epoch('a')).toBe(5);
    expect(new FencesRepository(db).epoch('b')).toBe(0);
  });

  it('changes nothing outside of a commit', () => {
    expect(() => new FactsRepository(db).set('term', '1')).toThrow(/outside a commit/);
  });

  it('finishes what waits when it is closed', async () => {
    const facts = new FactsRepository(db);
    const waiting = db.commit(() => facts.set('term', '8'));
    db.close();
    await waiting;
    db = new AgentDatabase(path);
    expect(new FactsRepository(db).get('term')).toBe('8');
  });

  it('refuses what comes after', async () => {
    db.close();
    await expect(db.commit(() => undefined)).rejects.toThrow(/not open/);
    db = new AgentDatabase(path);
  });

  it('is of one agent only', () => {
    expect(() => new AgentDatabase(path)).toThrow(StateUnavailable);
  });

  it('understands the state of the first agent there was', async () => {
    db.close();
    await rm(path);
    const latest = aStartCommand({ epoch: 7 });
    const later = new Set(['version', 'restart', 'unhealthyAfterMs']);
    const first = Object.entries(latest).filter(([field]) => !later.has(field));
    const text = JSON.stringify(Object.fromEntries(first));
    const raw = new DatabaseSync(path);
    raw.exec(`${schemaSteps[0]}; PRAGMA user_version = 1`);
    raw
      .prepare(
        `INSERT INTO allocations (id, account, epoch, command, state, changed_at) VALUES (?, ?, ?, ?, 'running', 0)`,
      )
      .run(latest.allocation, latest.account, latest.epoch, text);
    raw.close();
    db = new AgentDatabase(path);
    expect(new AllocationsRepository(db).live()).toEqual([
      expect.objectContaining({ id: latest.allocation, epoch: 7, state: 'running', stop: null }),
    ]);
    await db.commit(() => new FactsRepository(db).set('term', '2'));
  });

  it('refuses the state of a newer agent', () => {
    db.close();
    const raw = new DatabaseSync(path);
    raw.exec('PRAGMA user_version = 1000');
    raw.close();
    expect(() => new AgentDatabase(path)).toThrow(StartupFault);
    expect(() => new AgentDatabase(path)).toThrow(/written by a newer agent: it has schema 1000/);
    const repaired = new DatabaseSync(path);
    repaired.exec(`PRAGMA user_version = ${schemaSteps.length}`);
    repaired.close();
    db = new AgentDatabase(path);
  });
});
