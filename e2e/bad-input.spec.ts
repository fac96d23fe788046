import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ErrorCode, errorCodes, newId, type StartCommand } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { aStartCommand, uniqueLogin, uniqueName, waitFor } from '#libs/testing';
import { badInputs, reason, type World } from './testing/bad-input.table.js';
import { type Door, type DoorAnswer, HttpDoor, NatsDoor } from './testing/doors.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { snapshotOf } from './testing/fleet.snapshot.js';
import { aManifest } from './testing/manifests.js';

describe('bad input', () => {
  const manifest = aManifest([{}]);
  let fleet: FleetHarness;
  let world: World;
  const doors: Record<'NATS' | 'HTTP', Door | null> = { NATS: null, HTTP: null };
  const door = (name: keyof typeof doors): Door => {
    const found = doors[name];
    if (found === null) throw new Error('The fleet did not start');
    return found;
  };

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'simulated', manifest });
    doors.NATS = new NatsDoor(await fleet.nats());
    doors.HTTP = new HttpDoor(fleet);
    world = await aWorld();
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  async function aWorld(): Promise<World> {
    const tenant = manifest.tenants[0]?.name ?? '';
    const { name: bot = '', account: busy = '' } = manifest.tenants[0]?.bots?.[0] ?? {};
    const { gateway } = fleet;
    const [idle, locked, login] = [uniqueName('acc'), uniqueName('acc'), uniqueLogin()];
    await gateway.call('accounts.create', { name: idle, tenant, server: 'Paper-Demo', login });
    await gateway.call('accounts.create', {
      ...{ name: locked, tenant, server: 'Paper-Demo', login: uniqueLogin() },
    });
    const lockedBot = uniqueName('bot');
    await gateway.call('bots.create', {
      ...{ name: lockedBot, account: locked, runtime: 'paper', desired: 'stopped' },
    });
    await gateway.call('accounts.lock', { name: locked, reason });
    await gateway.call('hosts.drain', { name: 'host-b', reason });
    const key = newId();
    await gateway.call('tenants.create', { name: uniqueName('t'), idempotencyKey: key });
    const { allocation } = await untilOn('host-a', bot);
    // That the drain has ended is noted after its last bot has moved; nothing changes by itself from then on.
    await waitFor(async () => (await gateway.call('hosts.get', { name: 'host-b' })).drain?.endedAt != null, {
      what: 'the drain to end',
    });
    expect(allocation).not.toBeNull();
    return { tenant, idle, login, busy, bot, locked, lockedBot, drained: 'host-b', key };
  }

  /** The bot may have been on the host that is drained. */
  async function untilOn(host: string, bot: string) {
    const { operations } = await fleet.gateway.call('operations.list', {});
    for (const { id } of operations) await fleet.untilEnded(id);
    const { status } = await fleet.bot(bot);
    expect(status).toMatchObject({ phase: 'running', host });
    return status;
  }

  describe.each(['NATS', 'HTTP'] as const)('over %s', (name) => {
    it.each(badInputs.map((entry) => [entry.what, entry.code, entry] as const))(
      '%s is refused as %s and changes nothing',
      async (_, code, { send, says }) => {
        const before = await snapshotOf(fleet);
        const answer = await send(door(name), world);
        if (answer.ok) throw new Error(`It was accepted: ${JSON.stringify(answer.result)}`);
        const { status, title, retry } = errorCodes[code];
        expect(answer.problem).toMatchObject({ code, status, title, retry });
        expect(answer.problem.detail).toMatch(says);
        // A whole sentence.
        expect(answer.problem.detail).toMatch(/^[A-Z].*\.$/s);
        expect(await snapshotOf(fleet)).toEqual(before);
      },
    );

    it('the same request under the same key has the same answer and takes effect once', async () => {
      const request = { name: uniqueName('t'), displayName: 'Once', idempotencyKey: newId() };
      const first = await door(name).call('tenants.create', request);
      const after = await snapshotOf(fleet);
      expect(first).toMatchObject({ ok: true, result: { name: request.name, generation: 1 } });
      expect(await door(name).call('tenants.create', request)).toEqual(first);
      // A key belongs to the request, whichever door it comes by.
      expect(await door(name === 'NATS' ? 'HTTP' : 'NATS').call('tenants.create', request)).toEqual(first);
      expect(await snapshotOf(fleet)).toEqual(after);
    });

    it('what is refused is audited', async () => {
      const code = 'bot_exists';
      const wanted = { operation: 'bots.create', code };
      const before = (await fleet.audited(wanted)).length;
      await door(name).call('bots.create', { name: world.bot, account: world.idle, runtime: 'paper' });
      const events = await fleet.untilAudited(
        wanted,
        Array.from({ length: before + 1 }, () => 'request.refused'),
      );
      expect(events.at(-1)?.actor).toMatch(name === 'HTTP' ? /^user:admin$/ : /^nats:/);
    });
  });

  describe('over HTTP alone', () => {
    const http = (path: string, init: RequestInit = {}) => new HttpDoor(fleet).fetch(path, init);
    const create = (body: string, headers: Record<string, string>) =>
      http('/api/v1/tenants', { method: 'POST', body, headers });
    const json = { 'content-type': 'application/json' };

    it.each<[string, ErrorCode, () => Promise<DoorAnswer>]>([
      ['no token', 'unauthenticated', () => http('/api/v1/bots', { headers: { authorization: '' } })],
      [
        'a wrong token',
        'unauthenticated',
        () => http('/api/v1/bots', { headers: { authorization: 'Bearer no' } }),
      ],
      [
        'another scheme',
        'unauthenticated',
        () => http('/api/v1/bots', { headers: { authorization: 'Basic eA==' } }),
      ],
      [
        'a change without a token',
        'unauthenticated',
        () => create(`{"name":"${uniqueName('t')}"}`, { ...json, authorization: 'Bearer no' }),
      ],
      ['a route that is not there', 'unknown_subject', () => http('/api/v1/robots')],
      [
        'a method that is not there',
        'unknown_subject',
        () => http('/api/v1/bots', { method: 'PUT', body: '{}', headers: json }),
      ],
      [
        'a body that says it is text',
        'invalid_request',
        () => create('{}', { 'content-type': 'text/plain' }),
      ],
      ['a number that is none in the query', 'invalid_request', () => http('/api/v1/bots?limit=many')],
      ['a field of the query that is not there', 'invalid_request', () => http('/api/v1/bots?colour=red')],
      [
        'an If-Match that is no generation',
        'invalid_request',
        () =>
          http(`/api/v1/bots/${world.bot}/stop`, {
            method: 'POST',
            body: '{}',
            headers: { ...json, 'if-match': '*' },
          }),
      ],
      [
        'an idempotency key with spaces',
        'invalid_request',
        () => create(`{"name":"${uniqueName('t')}"}`, { ...json, 'idempotency-key': 'a b' }),
      ],
    ])('%s is refused as %s and changes nothing', async (_, code, send) => {
      const before = await snapshotOf(fleet);
      const answer = await send();
      expect(answer).toMatchObject({ ok: false, problem: { code, status: errorCodes[code].status } });
      expect(await snapshotOf(fleet)).toEqual(before);
    });
  });

  describe('over NATS alone', () => {
    it.each([
      'fleet.v1.api.bots.explode',
      'fleet.v1.internal.allocations.check',
      'fleet.v1.host.host-a.cmd.start',
    ])('a client may not send to %s', async (subject) => {
      const client = await fleet.nats();
      await expect(client.send(subject, '{}')).rejects.toThrow(/permission/i);
    });

    it('a client may not listen to what is not for it', async () => {
      const client = await fleet.nats();
      const heard = (async () => {
        for await (const message of client.connection.subscribe('fleet.>')) return message.subject;
        return null;
      })();
      await expect(heard).rejects.toThrow(/permission/i);
    });
  });

  describe('commands that a host must not obey', () => {
    /** An order to trade an account that has a bot already, under the next epoch: the worst there is. */
    async function anOrder(fields: Partial<StartCommand> = {}): Promise<StartCommand> {
      const { allocation } = (await fleet.bot(world.bot)).status;
      return aStartCommand({
        ...{ host: 'host-a', account: world.busy, bot: world.bot, tenant: world.tenant },
        epoch: (allocation?.epoch ?? 0) + 1,
        ...fields,
      });
    }
    const schedulerKey = () => SigningKey.fromFile(fleet.keyPath('scheduler-signing.jwk'));
    const signedBy = async (key: SigningKey, order: unknown) =>
      await key.sign(Buffer.from(JSON.stringify(order)));

    it.each<[string, ErrorCode, () => Promise<{ order: StartCommand; signature: string | null }>]>([
      [
        'by somebody else',
        'bad_signature',
        async () => {
          const order = await anOrder();
          return { order, signature: await signedBy(await SigningKey.generate(), order) };
        },
      ],
      ['without a signature', 'bad_signature', async () => ({ order: await anOrder(), signature: null })],
      [
        'that was changed after it was signed',
        'bad_signature',
        async () => {
          const order = await anOrder();
          return {
            order: { ...order, epoch: order.epoch + 1 },
            signature: await signedBy(await schedulerKey(), order),
          };
        },
      ],
      [
        'for another host',
        'wrong_host',
        async () => {
          const order = await anOrder({ host: 'host-b' });
          return { order, signature: await signedBy(await schedulerKey(), order) };
        },
      ],
      [
        'whose time has passed',
        'command_expired',
        async () => {
          const [issued_ms, expires_ms] = [Date.now() - 600_000, Date.now() - 300_000];
          const order = await anOrder({
            issuedAt: new Date(issued_ms).toISOString(),
            expiresAt: new Date(expires_ms).toISOString(),
          });
          return { order, signature: await signedBy(await schedulerKey(), order) };
        },
      ],
      [
        'of an epoch that has passed',
        'stale_epoch',
        async () => {
          const order = await anOrder({ epoch: 1 });
          return { order, signature: await signedBy(await schedulerKey(), order) };
        },
      ],
    ])('one %s is refused as %s, audited, and runs nothing', async (_, code, make) => {
      const { order, signature } = await make();
      const before = await snapshotOf(fleet);
      const scheduler = await fleet.nats('scheduler');
      await scheduler.store('fleet.v1.host.host-a.cmd.start', JSON.stringify(order), {
        'Nats-Msg-Id': order.id,
        ...(signature === null ? {} : { 'tradefleet-signature': signature }),
      });
      const events = await fleet.untilAudited({ allocation: order.allocation }, ['command.rejected']);
      expect(events).toEqual([
        expect.objectContaining({
          type: 'tradefleet.command.rejected',
          severity: 'critical',
          actor: 'host:host-a',
          data: expect.objectContaining({ code, host: 'host-a', command: order.id, verb: 'start' }),
        }),
      ]);
      expect(await snapshotOf(fleet)).toEqual(before);
    });
  });
});
