import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock, waitFor } from '#libs/testing';
import { AgentDatabase } from './agent.database.js';
import { AllocationsRepository } from './allocations.repository.js';
import { CommandsRepository } from './commands.repository.js';
import { LastLogsRepository, last_logs_max, type LastLines } from './last-logs.repository.js';
import { PreparationsRepository } from './preparations.repository.js';
import { StateUpkeep } from './state-upkeep.js';

const minute_ms = 60_000;
const hour_ms = 60 * minute_ms;

describe('StateUpkeep', () => {
  const lines: LastLines = [{ at: '2026-01-01T00:00:00.000Z', stream: 'stdout', text: 'bot ended' }];
  let folder: string;
  let db: AgentDatabase;
  let lastLogs: LastLogsRepository;
  let clock: VirtualClock;
  let upkeep: StateUpkeep;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-upkeep-'));
    db = new AgentDatabase(join(folder, 'agent.sqlite'));
    lastLogs = new LastLogsRepository(db);
    clock = new VirtualClock();
    upkeep = new StateUpkeep(
      db,
      new CommandsRepository(db),
      new AllocationsRepository(db),
      new PreparationsRepository(db),
      lastLogs,
      { lastLogsKeepHours: 24 },
      clock,
      createLogger({ service: 'agent', level: 'silent' }),
    );
  });
  afterEach(async () => {
    await upkeep.close();
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  const passEnds = async () => await waitFor(() => clock.sleeping === 1);

  it('forgets the last lines of bots in time although no other bot ends', async () => {
    await db.commit(() => lastLogs.keep('old', lines, clock.wallMs()));
    await db.commit(() => lastLogs.keep('young', lines, clock.wallMs() + hour_ms));
    upkeep.start();
    await passEnds();
    expect(lastLogs.get('old')).toEqual(lines);
    clock.stepWall(24 * hour_ms);
    await clock.advance(10 * minute_ms);
    await passEnds();
    expect(lastLogs.get('old')).toBeNull();
    expect(lastLogs.get('young')).toEqual(lines);
  });

  it('forgets the oldest of too many', async () => {
    await db.commit(() => {
      for (let index = 0; index < last_logs_max + 2; index += 1) {
        lastLogs.keep(`bot-${index}`, lines, clock.wallMs() + index);
      }
    });
    upkeep.start();
    await passEnds();
    expect([0, 1, 2].map((index) => lastLogs.get(`bot-${index}`))).toEqual([null, null, lines]);
  });
});
