import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '#libs/testing';
import { anEvent, OutboxDatabase } from '../testing/outbox.database.js';
import type { NewEvent } from './outbox.js';
import { outboxMigrations } from './outbox.migration.js';

const expiresAt = new Date('2100-01-01T00:00:00Z');

describe('Outbox', () => {
  let postgres: TestPostgres;
  let database: OutboxDatabase;

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => (database = await OutboxDatabase.create(postgres)));
  afterEach(async () => await database.close());

  const write = async (event: NewEvent) =>
    await database.dataSource.transaction(async (manager) => await database.outbox.event(manager, event));

  it('keeps the attributes of an event as they were told', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const event = { ...anEvent(), traceparent };
    const id = await write(event);
    const [row] = await database.query<Record<string, unknown>>(
      'SELECT message_id, event, body, sequence FROM spec.outbox',
    );
    expect(row).toEqual({
      message_id: id,
      event: {
        type: event.type,
        subjectId: event.id,
        actor: event.actor,
        traceparent,
        time: expect.stringMatching(/^\d{4}-.*Z$/),
      },
      body: JSON.stringify(event.data),
      sequence: null,
    });
  });

  it('refuses data that the catalogue does not know, which would never be published', async () => {
    const event = { ...anEvent(), data: { operation: 'x' } } as unknown as NewEvent;
    await expect(write(event)).rejects.toThrow();
    expect(await database.query('SELECT 1 FROM spec.outbox')).toEqual([]);
  });

  it('refuses a message no stream would take', async () => {
    const message = {
      subject: 'a.b',
      messageId: '0190a0a0-0000-7000-8000-000000000002',
      body: 'x'.repeat(256 * 1024),
      expiresAt,
    };
    const writing = database.dataSource.transaction(
      async (manager) => await database.outbox.command(manager, message),
    );
    await expect(writing).rejects.toThrow('too large');
  });

  it('takes a message id once', async () => {
    const messageId = '0190a0a0-0000-7000-8000-000000000003';
    const write = async () =>
      await database.dataSource.transaction(
        async (manager) =>
          await database.outbox.command(manager, { subject: 'a.b', messageId, body: '{}', expiresAt }),
      );
    await write();
    await expect(write()).rejects.toThrow('outbox_message_once');
  });

  it('takes plain names of schemas only', () => {
    expect(() => outboxMigrations('x; DROP TABLE y')).toThrow('plain SQL identifier');
  });
});
