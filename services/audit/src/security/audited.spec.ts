import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  actorHeader,
  api,
  apiEvents,
  apiNames,
  apiSubject,
  newId,
  refusalType,
  type ApiName,
  type FleetEvent,
} from '#libs/contracts';
import { startPostgres, uniqueName, waitFor, type TestPostgres } from '#libs/testing';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { AuditFixture } from '../testing/audit.fixture.js';

interface Row {
  /** Makes what it needs; gives a request that succeeds. */
  readonly good: () => Promise<object>;
  /** A request that fits the schema and is refused, and the code of that. */
  readonly bad: object;
  readonly code: string;
}

const changes = apiNames.filter((name) => api[name].service === 'audit' && apiEvents[name].events.length > 0);

describe('what is asked of the audit service', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let client: NatsConnection;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      refusalEventsPerSecond: 1000,
      checkpointMs: 100,
      archiveDir: undefined,
    });
    await fixture.start();
    client = await fixture.client();
  });
  afterAll(async () => {
    await client.close();
    await fixture.stop();
    await postgres.stop();
  });

  interface Answer {
    readonly ok: boolean;
    readonly result?: Record<string, unknown>;
    readonly problem?: { readonly code: string };
  }
  async function send(name: ApiName, request: object, actor = 'user:spec'): Promise<Answer> {
    const carried = headers();
    carried.set(actorHeader, actor);
    const options = { timeout: 20_000, headers: carried };
    return (await client.request(apiSubject(name), JSON.stringify(request), options)).json<Answer>();
  }
  const recordedBy = async (actor: string): Promise<FleetEvent[]> => {
    const found = await waitFor(
      async () => {
        const { events } = await fixture.messaging.call('events.query', { actor });
        return events.length > 0 ? events : null;
      },
      { what: `an event of ${actor}`, timeoutMs: 20_000 },
    );
    return found;
  };
  const someone = () => `user:${uniqueName('who')}`;
  const aPerson = async (): Promise<string> => {
    const actor = someone();
    await fixture.publish(fixture.event({ actor }));
    await recordedBy(actor);
    return actor;
  };
  const nobody = 'user:nobody-at-all';
  /** One that the witness has seen. */
  const aLostRecord = async () => {
    await aPerson();
    const { size, checkpoint } = await fixture.messaging.call('log.checkpoint', {});
    await waitFor(
      async () => ((await fixture.messaging.call('log.checkpoint', {})).checkpoint?.size ?? 0) >= size,
      { what: `a checkpoint after ${checkpoint?.size ?? 0}` },
    );
    const { entries } = await fixture.messaging.call('log.records', { from: 0, limit: 1 });
    const line = entries[0]?.line ?? '';
    await fixture.query('DELETE FROM audit.events WHERE position = 0');
    return { position: 0, line };
  };

  const rows: Readonly<Partial<Record<ApiName, Row>>> = {
    'subjects.erase': {
      good: async () => ({ name: await aPerson(), reason: 'asked for it' }),
      bad: { name: nobody, reason: 'asked for it' },
      code: 'subject_not_found',
    },
    'subjects.export': {
      good: async () => ({ name: await aPerson() }),
      bad: { name: nobody },
      code: 'subject_not_found',
    },
    'holds.place': {
      good: async () => ({ reason: 'case 12', class: 'session', from: '2001-01', to: '2001-02' }),
      bad: { reason: 'case 12', from: '2001-02', to: '2001-01' },
      code: 'invalid_request',
    },
    'holds.release': {
      good: async () => {
        const hold = { reason: 'case 13', class: 'session', from: '2001-01', to: '2001-02' };
        return { id: (await send('holds.place', hold)).result?.['id'], reason: 'over' };
      },
      bad: { id: newId(), reason: 'over' },
      code: 'hold_not_found',
    },
    'log.restore': {
      good: async () => ({ records: [await aLostRecord()] }),
      bad: { records: [{ position: 0, line: 'what never was' }] },
      code: 'invalid_request',
    },
  };
  // What a run archives and drops is in the specs of retention; without a folder for archives it is refused.
  const refusedOnly: Readonly<Partial<Record<ApiName, Pick<Row, 'bad' | 'code'>>>> = {
    'retention.run': { bad: {}, code: 'retention_not_set_up' },
  };

  it('has a row for every operation that changes something', () => {
    expect([...Object.keys(rows), ...Object.keys(refusedOnly)].sort()).toEqual(changes.toSorted());
  });

  it.each(Object.keys(rows) as ApiName[])('%s leaves an event under the name of who asked', async (name) => {
    const actor = someone();
    const request = (await rows[name]?.good()) ?? {};
    expect(await send(name, request, actor)).toMatchObject({ ok: true });
    const told: readonly string[] = apiEvents[name].events;
    const types = (await recordedBy(actor)).map(({ type }) => type);
    expect(types.filter((type) => told.includes(type))).not.toEqual([]);
  });

  it.each(changes)('%s leaves an event when it is refused', async (name) => {
    const actor = someone();
    const row = rows[name] ?? refusedOnly[name];
    expect(await send(name, row?.bad ?? {}, actor)).toMatchObject({
      ok: false,
      problem: { code: row?.code },
    });
    expect(await recordedBy(actor)).toMatchObject([
      { type: 'tradefleet.request.refused', data: { operation: name, code: row?.code } },
    ]);
  });

  it('leaves an event of every request that does not fit its schema', async () => {
    const names = apiNames.filter((name) => api[name].service === 'audit');
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) {
      const actor = someone();
      expect(await send(name, { colour: 'red' }, actor)).toMatchObject({ ok: false });
      expect(await recordedBy(actor)).toMatchObject([
        { type: refusalType(name), data: { operation: name, code: 'invalid_request' } },
      ]);
    }
  });
});
