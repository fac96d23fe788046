import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId, type ApiRequest, type EventTypeName } from '#libs/contracts';
import { encodeSignedEvent, SigningKey } from '#libs/messaging';
import { startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';

describe('the security events of the log', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  const keys = { '/gateway': '', '/secrets': '' } as Record<string, string | SigningKey>;
  const incarnation = newId();
  const sequences = new Map<string, number>();

  beforeAll(async () => {
    postgres = await startPostgres();
    const [gateway, secrets, scheduler] = [
      await SigningKey.generate(),
      await SigningKey.generate(),
      await SigningKey.generate(),
    ];
    Object.assign(keys, { '/gateway': gateway, '/secrets': secrets, '/scheduler': scheduler });
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      trustedKeys: {
        '/gateway': [gateway.publicJwk],
        '/secrets': [secrets.publicJwk],
        '/scheduler': [scheduler.publicJwk],
      },
    });
    await fixture.start();
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  interface Told {
    readonly source: string;
    readonly type: EventTypeName;
    readonly subjectId: string;
    readonly actor: string;
    readonly data: Record<string, unknown>;
    readonly at?: number;
  }
  /** Publishes what a service would tell, and waits until it is recorded. Gives the ids. */
  async function tell(...told: Told[]): Promise<string[]> {
    const messages = await Promise.all(
      told.map(async ({ source, at = Date.now(), ...event }) => {
        const sequence = (sequences.get(source) ?? 0) + 1;
        sequences.set(source, sequence);
        const key = keys[source];
        if (!(key instanceof SigningKey)) throw new Error(`${source} has no key`);
        const attributes = { id: newId(at), time: new Date(at).toISOString(), source, incarnation, sequence };
        return await encodeSignedEvent(
          { ...event, ...attributes } as Parameters<typeof encodeSignedEvent>[0],
          key,
        );
      }),
    );
    const outcomes = await fixture.messaging.publishDurableAll(messages);
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    const ids = messages.map(({ messageId }) => messageId);
    await waitFor(
      async () =>
        (await fixture.query('SELECT 1 FROM audit.events WHERE id = ANY ($1)', [ids])).length === ids.length,
      { what: 'the events to be recorded' },
    );
    return ids;
  }
  const refusedSession = (ip: string, at?: number): Told => ({
    ...{
      source: '/gateway',
      type: 'tradefleet.session.refused',
      subjectId: 'gateway',
      actor: 'user:unknown',
    },
    data: { method: 'GET', path: '/api/v1/bots', ip },
    ...(at === undefined ? {} : { at }),
  });
  const refusedRequest = (actor: string, code: string, detail = 'Correct it.'): Told => ({
    ...{ source: '/scheduler', type: 'tradefleet.request.refused', subjectId: newId(), actor },
    data: { operation: 'bots.stop', code, detail },
  });
  const credentialSet = (actor: string, account = 'a'): Told => ({
    ...{ source: '/secrets', type: 'tradefleet.credential.set', subjectId: account, actor },
    data: { account, version: 1 },
  });
  const ask = async (request: ApiRequest<'security.events'>) =>
    await fixture.messaging.call('security.events', request);
  const asReader = async <T extends object>(sql: string) =>
    await withClient(fixture.config.readerDatabaseUrl, async (client) => (await client.query<T>(sql)).rows);

  it('read as a security review wants them, persons and addresses by name', async () => {
    const actor = `user:ada-${newId()}`;
    const [set, refused, session] = await tell(
      credentialSet(actor),
      refusedRequest(actor, 'bot_not_found'),
      refusedSession('192.0.2.7'),
    );
    const { events } = await ask({ user: actor, order: 'asc' });
    expect(events).toEqual([
      {
        timestamp: expect.any(String),
        ...{ event_type: 'credential_access', severity: 'medium', user_id: actor, ip_address: null },
        ...{ action: 'credential.set', details: { account: 'a', version: 1 }, result: 'success' },
        event_id: set ?? '',
      },
      {
        timestamp: expect.any(String),
        ...{ event_type: 'admin_access', severity: 'high', user_id: actor, ip_address: null },
        action: 'bots.stop',
        details: { operation: 'bots.stop', code: 'bot_not_found', detail: 'Correct it.' },
        ...{ result: 'denied', event_id: refused ?? '' },
      },
    ]);
    const [turnedAway] = (await ask({ eventType: 'authentication_failure' })).events;
    expect(turnedAway).toMatchObject({
      ...{ event_id: session, user_id: 'user:unknown', ip_address: '192.0.2.7', action: '/api/v1/bots' },
      ...{ severity: 'high', result: 'denied', details: { method: 'GET', ip: '192.0.2.7' } },
    });
  });

  it('are a view that the reader may read, in which persons and addresses are sealed', async () => {
    const actor = `user:grace-${newId()}`;
    await tell(credentialSet(actor, 'sealed'), refusedSession('198.51.100.9'));
    const rows = await asReader<{ line: string; user_id: string; ip_address: string | null }>(
      'SELECT v::text AS line, user_id, ip_address FROM audit.security_events v ORDER BY position',
    );
    expect(rows.length).toBeGreaterThanOrEqual(2);
    for (const { line } of rows) expect(line).not.toMatch(/grace|198\.51\.100\.9/);
    expect(rows.some(({ user_id }) => user_id.startsWith('subject:'))).toBe(true);
    expect(rows.some(({ ip_address }) => ip_address?.startsWith('sealed:') === true)).toBe(true);
    const [columns] = await asReader<{ names: string }>(
      `SELECT string_agg(attname, ' ' ORDER BY attnum) AS names FROM pg_attribute
        WHERE attrelid = 'audit.security_events'::regclass AND attnum BETWEEN 1 AND 8`,
    );
    expect(columns?.names).toBe('timestamp event_type severity user_id ip_address action details result');
    await expect(asReader('DELETE FROM audit.security_types')).rejects.toMatchObject({ code: '42501' });
  });

  it('survive a text that no column could hold', async () => {
    const actor = `user:nul-${newId()}`;
    await tell(refusedRequest(actor, 'invalid_request', 'unknown field \u0000 and \ud800 "quoted"'));
    await expect(asReader('SELECT action, code FROM audit.security_events')).resolves.not.toEqual([]);
    const { events } = await ask({ user: actor });
    expect(events).toMatchObject([{ action: 'bots.stop', details: { code: 'invalid_request' } }]);
  });

  it('are found by each filter, page by page, none twice', async () => {
    const actor = `user:pages-${newId()}`;
    await tell(...Array.from({ length: 7 }, (_, n) => credentialSet(actor, `a${n}`)));
    await tell(refusedRequest(actor, 'bot_not_found'), refusedRequest(actor, 'forbidden'));
    const all = (await ask({ user: actor, order: 'asc' })).events.map(({ event_id }) => event_id);
    expect(all).toHaveLength(9);
    for (const order of ['asc', 'desc'] as const) {
      const got: string[] = [];
      let after: string | undefined;
      do {
        const page = await ask({ user: actor, limit: 2, order, ...(after === undefined ? {} : { after }) });
        got.push(...page.events.map(({ event_id }) => event_id));
        after = page.next ?? undefined;
      } while (after !== undefined && got.length < 100);
      expect(got).toEqual(order === 'asc' ? all : all.toReversed());
    }
    const count = async (filter: ApiRequest<'security.events'>) =>
      (await ask({ user: actor, ...filter })).events.length;
    expect(await count({ severity: 'high' })).toBe(2);
    expect(await count({ severity: 'low' })).toBe(9);
    expect(await count({ result: 'success' })).toBe(7);
    expect(await count({ eventType: 'admin_access', result: 'denied' })).toBe(2);
    expect(await count({ action: 'bots.stop' })).toBe(2);
    expect(await count({ from: new Date(Date.now() + 60_000).toISOString() })).toBe(0);
    expect(await ask({ user: `user:nobody-${newId()}` })).toEqual({ events: [], next: null });
  });

  it('tell of a request that this service itself refuses', async () => {
    const asking = fixture.messaging.call('subjects.erase', { name: 'user:never-seen', reason: 'x' });
    await expect(asking).rejects.toMatchObject({ code: 'subject_not_found' });
    await waitFor(
      async () => (await ask({ action: 'subjects.erase', result: 'denied' })).events.length === 1,
      { what: 'the refusal to be recorded' },
    );
  });
});
