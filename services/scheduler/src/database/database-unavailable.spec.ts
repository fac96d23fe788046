import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { uniqueName, waitFor } from '#libs/testing';
import { DataSource } from 'typeorm';
import { ApiHarness } from '../api.harness.js';
import { isDatabaseUnavailable } from './database-unavailable.filter.js';

describe('a database that goes away', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  it('is told from a defect, and the same request with its key succeeds later', async () => {
    const request = { name: uniqueName('tenant'), idempotencyKey: newId() };
    const holder = harness.app.get(DataSource).createQueryRunner();
    await holder.startTransaction();
    await holder.query('LOCK TABLE scheduler.tenants IN ACCESS EXCLUSIVE MODE');
    const refused = harness.refusal('tenants.create', request);
    // Ends the connection of the request in the middle of its transaction, as a restart of the server does.
    const ended = await waitFor(async () => {
      const rows = await harness.sql<{ ended: boolean }>(
        `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows[0]?.ended;
    });
    expect(ended).toBe(true);
    await holder.rollbackTransaction();
    await holder.release();
    expect(await refused).toMatchObject({ code: 'unavailable', status: 503, retry: true });
    expect((await harness.ask('tenants.create', request)).name).toBe(request.name);
  });

  it('is not confused with what is wrong with a statement', () => {
    const unavailable = ['08006', '57P01', '57014', '55P03', '53300', 'ECONNREFUSED'];
    const wrong = ['23505', '42P01', '22P05', 'ENOENT', 'EACCES'];
    expect(unavailable.filter((code) => !isDatabaseUnavailable({ code }))).toEqual([]);
    expect(wrong.filter((code) => isDatabaseUnavailable({ code }))).toEqual([]);
    expect(isDatabaseUnavailable(new Error('Connection terminated unexpectedly'))).toBe(true);
    expect(isDatabaseUnavailable(new Error('a defect'))).toBe(false);
    expect(isDatabaseUnavailable(undefined)).toBe(false);
  });
});
