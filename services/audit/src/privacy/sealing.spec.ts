import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { SystemClock } from '#libs/clock';
import type { MasterKeys } from '#libs/config';
import { Actor, newId, recordLine, type LogRecord } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import type { RecordedEvent } from '../ingestion/recorded-event.js';
import { SubjectMemory } from '../testing/subject.memory.js';
import { EventOpener } from './event.opener.js';
import { EventSealer } from './event.sealer.js';
import { KeyWrapping } from './key.wrapping.js';
import { SubjectKeys } from './subject.keys.js';

const masters = (...ids: string[]): MasterKeys => ({
  current: ids[0] ?? '',
  keys: new Map(ids.map((id) => [id, randomBytes(32)])),
});
const logger = createLogger({ service: 'sealing-spec', level: 'silent' });

function privacy(keysOf: MasterKeys = masters('k1'), store = new SubjectMemory()) {
  const keys = new SubjectKeys(store, new KeyWrapping(keysOf), new SystemClock());
  return { store, keys, sealer: new EventSealer(keys), opener: new EventOpener(keys, logger) };
}

const refusedSession = (ip: string, path = '/'): string => JSON.stringify({ method: 'GET', path, ip });

function anEvent(fields: Partial<LogRecord> = {}): RecordedEvent {
  const time = '2026-01-31T12:00:00.000Z';
  const record: LogRecord = {
    ...{ v: 1, id: newId(Date.parse(time)), source: '/gateway', incarnation: newId(), sequence: 1 },
    ...{ type: 'tradefleet.session.refused', subject: 'session/gateway', severity: 'warning' },
    ...{ retention: 'session', actor: 'user:unknown', subjectId: null, time, traceparent: null },
    ...{ recordedAt: time, signature: 'header..signature', data: refusedSession('192.0.2.7') },
    ...fields,
  };
  return { message: { streamSeq: 1, subject: 's', headers: {}, bytes: Buffer.from(record.data) }, record };
}

const toRow = ({ id, type, actor, subjectId, data }: LogRecord) => ({
  ...{ id, type, actor, subject_id: subjectId, data: JSON.parse(data) as Record<string, unknown> },
});

async function sealOne(sealer: EventSealer, event: RecordedEvent): Promise<LogRecord> {
  const [sealed] = await sealer.seal([event]);
  if (sealed === undefined || 'refused' in sealed) throw new Error('refused');
  return sealed.record;
}

const people = fc.constantFrom(
  'user:ada',
  'user:grace',
  'user:unknown',
  'host:a',
  'subject:ada',
  'nats:anonymous',
);
const texts = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.ipV4(), fc.ipV6());

describe('sealing', () => {
  it('gives back what it took, and shows nothing personal meanwhile', async () => {
    const { sealer, opener } = privacy();
    await fc.assert(
      fc.asyncProperty(people, texts, texts, async (actor, ip, path) => {
        const event = anEvent({ actor, data: refusedSession(ip, path) });
        const record = await sealOne(sealer, event);
        const data = JSON.parse(record.data) as Record<string, unknown>;
        expect(data['ip']).toMatch(/^sealed:[0-9a-f-]{36}:[\w-]+$/);
        expect(record.actor).toBe(
          /^(user:(?!unknown)|subject:)/.test(actor) ? `subject:${record.subjectId}` : actor,
        );
        expect(record.signature).toMatch(/^sealed:/);
        const [opened] = await opener.open([toRow(record)]);
        expect(opened).toEqual({ ...toRow(event.record), subject_id: record.subjectId });
      }),
    );
  });

  it('changes nothing else', async () => {
    const { sealer } = privacy();
    await fc.assert(
      fc.asyncProperty(people, texts, async (actor, path) => {
        const event = anEvent({ actor, data: refusedSession('192.0.2.7', path) });
        const record = await sealOne(sealer, event);
        const { ip } = JSON.parse(record.data) as { ip: string };
        // The body is the same text but for the one value, the record the same but for four fields.
        const value = JSON.stringify(ip);
        const at = record.data.lastIndexOf(value);
        const text = record.data.slice(0, at) + '"192.0.2.7"' + record.data.slice(at + value.length);
        expect(text).toBe(event.record.data);
        const { data, signature, subjectId, actor: before } = event.record;
        expect({ ...record, data, signature, subjectId, actor: before }).toEqual(event.record);
      }),
    );
  });

  it('leaves events without anything personal alone, and asks nobody', async () => {
    const { sealer, store } = privacy();
    const events = [anEvent({ actor: 'host:a', type: 'tradefleet.allocation.running', data: '{"a": 1.0}' })];
    expect(await sealer.seal(events)).toBe(events);
    expect(store.asked).toBe(0);
  });

  it('leaves the body of a person’s event alone when nothing in it is personal', async () => {
    const { sealer } = privacy();
    const record = await sealOne(
      sealer,
      anEvent({ actor: 'user:ada', type: 'tradefleet.bot.created', data: '{ "a": 1.0 }' }),
    );
    expect(record.data).toBe('{ "a": 1.0 }');
  });

  it('seals the same event to the same line again, as it is delivered again', async () => {
    const store = new SubjectMemory();
    const keysOf = masters('k1');
    const event = anEvent({ actor: 'user:ada' });
    const first = await sealOne(privacy(keysOf, store).sealer, event);
    const again = await sealOne(privacy(keysOf, store).sealer, event);
    expect(recordLine(again)).toBe(recordLine(first));
  });

  it('does not show that two events have the same value', async () => {
    const { sealer } = privacy();
    const [one, other] = [await sealOne(sealer, anEvent()), await sealOne(sealer, anEvent())];
    expect(one.subjectId).toBe(other.subjectId);
    expect(one.data).not.toBe(other.data);
  });

  it.each([
    ['blanks', '{"method":"GET","path":"/", "ip":"192.0.2.7"}'],
    ['a field twice', '{"method":"GET","path":"/","ip":"192.0.2.7","ip":"192.0.2.8"}'],
    ['escapes that are not needed', '{"method":"GET","path":"\\u002f","ip":"192.0.2.7"}'],
  ])('refuses a body it could not write again: %s', async (_, data) => {
    const { sealer, store } = privacy();
    const event = anEvent({ data });
    expect(await sealer.seal([event])).toEqual([
      { refused: event, cause: expect.objectContaining({ code: 'bad_data' }) },
    ]);
    expect(store.rows.size).toBe(0);
  });

  it('makes one key for a person, however many ask at once', async () => {
    const store = new SubjectMemory();
    const keysOf = masters('k1');
    const makers = Array.from({ length: 5 }, () => privacy(keysOf, store).sealer);
    const sealed = await Promise.all(
      makers.map(async (it) => await sealOne(it, anEvent({ actor: 'user:ada' }))),
    );
    expect(new Set(sealed.map(({ subjectId }) => subjectId)).size).toBe(1);
    expect(store.rows.size).toBe(1);
  });

  it('names nobody in the table of keys', async () => {
    const { sealer, store } = privacy();
    await sealOne(sealer, anEvent({ actor: 'user:a-very-unusual-name' }));
    const bytes = [...store.rows.values()].map((row) => [row.mac, row.wrappedKey, row.sealedName]).flat();
    expect(Buffer.concat(bytes).toString('latin1')).not.toContain('unusual');
  });
});

describe('opening', () => {
  it('shows what was erased as erased, for good, and whoever comes later under another key', async () => {
    const { sealer, opener, store, keys } = privacy();
    const event = anEvent({ actor: 'user:ada' });
    const record = await sealOne(sealer, event);
    const id = record.subjectId ?? '';
    await opener.open([toRow(record)]);
    store.rows.delete(id);
    const [opened] = await opener.open([toRow(record)]);
    expect(opened?.actor).toBe(`erased:${id}`);
    expect(Actor.safeParse(opened?.actor).success).toBe(true);
    expect(opened?.data).toEqual({ method: 'GET', path: '/', ip: `erased:${id}` });
    expect(await keys.find('user:ada')).toEqual([]);
    const later = await sealOne(sealer, anEvent({ actor: 'user:ada' }));
    expect(later.subjectId).not.toBe(id);
    expect((await opener.open([toRow(record)]))[0]?.actor).toBe(`erased:${id}`);
  });

  it('does not open a value at another place, of another event or another person', async () => {
    const { sealer, opener } = privacy();
    const [one, other] = [await sealOne(sealer, anEvent()), await sealOne(sealer, anEvent())];
    const [moved] = await opener.open([{ ...toRow(one), data: toRow(other).data }]);
    expect(moved?.data['ip']).toBe(`unreadable:${one.subjectId}`);
    const stranger = await sealOne(sealer, anEvent({ actor: 'user:ada' }));
    const [foreign] = await opener.open([{ ...toRow(one), data: toRow(stranger).data }]);
    expect(foreign?.data['ip']).toBe(toRow(stranger).data['ip']);
  });

  it('does not take what somebody claims to be called for what it wrote itself', async () => {
    const { sealer, opener } = privacy();
    const ada = await sealOne(sealer, anEvent({ actor: 'user:ada' }));
    const claimed = await sealOne(sealer, anEvent({ actor: ada.actor }));
    expect(claimed.actor).not.toBe(ada.actor);
    expect((await opener.open([toRow(claimed)]))[0]?.actor).toBe(ada.actor);
  });

  it('tells a row of keys that was changed, or put in the place of another', async () => {
    const { sealer, opener, store } = privacy();
    const ada = await sealOne(sealer, anEvent({ actor: 'user:ada' }));
    const eve = await sealOne(sealer, anEvent({ actor: 'user:eve' }));
    const [adaRow, eveRow] = [store.rows.get(ada.subjectId ?? ''), store.rows.get(eve.subjectId ?? '')];
    if (adaRow === undefined || eveRow === undefined) throw new Error('no rows');
    store.rows.set(adaRow.id, { ...eveRow, id: adaRow.id });
    expect((await opener.open([toRow(ada)]))[0]?.actor).toBe(`unreadable:${adaRow.id}`);
    store.rows.set(adaRow.id, { ...adaRow, sealedName: eveRow.sealedName });
    expect((await opener.open([toRow(ada)]))[0]?.actor).toBe(`unreadable:${adaRow.id}`);
  });

  it('asks once for a page, and not at all for one without anything sealed', async () => {
    const { sealer, opener, store } = privacy();
    const rows = toRow(await sealOne(sealer, anEvent({ actor: 'user:ada' })));
    store.asked = 0;
    await opener.open(Array.from({ length: 500 }, () => rows));
    expect(store.asked).toBe(1);
    await opener.open([{ ...rows, subject_id: null }]);
    expect(store.asked).toBe(1);
  });

  it('still opens, finds and erases after the master key was changed', async () => {
    const before = masters('k1');
    const after: MasterKeys = { current: 'k2', keys: new Map([...before.keys, ['k2', randomBytes(32)]]) };
    const store = new SubjectMemory();
    const record = await sealOne(privacy(before, store).sealer, anEvent({ actor: 'user:ada' }));
    const changed = privacy(after, store);
    expect((await changed.opener.open([toRow(record)]))[0]?.actor).toBe('user:ada');
    expect((await sealOne(changed.sealer, anEvent({ actor: 'user:ada' }))).subjectId).toBe(record.subjectId);
    await sealOne(changed.sealer, anEvent({ actor: 'user:new' }));
    expect(await changed.keys.find('user:ada')).toEqual([record.subjectId]);
    const lost = privacy({ current: 'k2', keys: new Map([...after.keys].slice(1)) }, store);
    await expect(lost.opener.open([toRow(record)])).rejects.toThrow(/Master key k1/);
  });
});
