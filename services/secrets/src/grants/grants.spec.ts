import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { decodeEvent, SealingKey, SigningKey, type TailedMessage, verifyEvent } from '#libs/messaging';
import { newId, subjects } from '#libs/contracts';
import { RefusalsRecorder } from '#libs/persistence';
import { uniqueName, waitFor } from '#libs/testing';
import { SecretsFixture } from '../testing/secrets.fixture.js';
import { grants_kept_max } from './grant.repository.js';

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

describe('grants', () => {
  let fleet: SecretsFixture;
  beforeAll(async () => {
    fleet = await SecretsFixture.start();
  });
  afterAll(async () => {
    await fleet.stop();
  });

  it('give the password to the host of the live allocation, leave a row and an event', async () => {
    const placed = await fleet.placed();
    const { account, allocation, host, epoch } = placed.request;
    await fleet.setPassword(account, 'the broker password');
    const asked_ms = Date.now();
    const grant = await fleet.grant(placed.request);
    expect(grant).toMatchObject({ allocation, epoch });
    const { login, server } = placed.claims;
    await expect(fleet.open(grant)).resolves.toEqual({ login, server, password: 'the broker password' });
    const lifetime_ms = Date.parse(grant.expiresAt) - asked_ms;
    expect(lifetime_ms).toBeGreaterThanOrEqual(fleet.config.grantTtlMs);
    expect(lifetime_ms).toBeLessThan(fleet.config.grantTtlMs + 60_000);

    expect(await fleet.grantRows(account)).toEqual([
      expect.objectContaining({ id: grant.id, allocation, account, host, epoch, credential_version: 1 }),
    ]);
    expect(await fleet.events(allocation)).toEqual([
      {
        type: 'tradefleet.grant.issued',
        actor: `host:${host}`,
        data: { grant: grant.id, allocation, account, host, epoch, code: null, expiresAt: grant.expiresAt },
      },
    ]);
    await expect(fleet.ask('credentials.status', { account })).resolves.toMatchObject({
      version: 1,
      lastGrantedAt: expect.any(String),
    });
  });

  it('are sealed to the key in the token: nobody else opens them', async () => {
    const placed = await fleet.placed();
    await fleet.setPassword(placed.request.account, 'the broker password');
    const grant = await fleet.grant(placed.request);
    await expect(fleet.open(grant, await SealingKey.generate())).rejects.toMatchObject({
      code: 'invalid_request',
    });
    expect(JSON.stringify(grant)).not.toContain('broker');
  });

  it('give a new password to a later grant of the same allocation', async () => {
    const placed = await fleet.placed();
    await fleet.setPassword(placed.request.account, 'before');
    const first = await fleet.grant(placed.request);
    await fleet.setPassword(placed.request.account, 'after');
    const second = await fleet.grant(placed.request);
    expect((await fleet.open(first)).password).toBe('before');
    expect((await fleet.open(second)).password).toBe('after');
    const versions = (await fleet.grantRows(placed.request.account)).map((row) => row['credential_version']);
    expect(versions).toEqual([1, 2]);
  });

  it('make up a password for paper once, record that, and give the same one afterwards', async () => {
    const account = fleet.anAccount();
    const first = await fleet.placed({ account, runtime: 'paper' });
    const passwords = await Promise.all(
      Array.from({ length: 4 }, async () => (await fleet.open(await fleet.grant(first.request))).password),
    );
    const next = await fleet.placed({ account, runtime: 'paper', epoch: 4 });
    passwords.push((await fleet.open(await fleet.grant(next.request))).password);
    expect(new Set(passwords).size).toBe(1);
    expect(passwords[0]).toMatch(/^[\w-]{32}$/);
    const set = (await fleet.events(account)).filter(({ type }) => type === 'tradefleet.credential.set');
    expect(set).toEqual([
      { type: 'tradefleet.credential.set', actor: 'service:secrets', data: { account, version: 1 } },
    ]);
    const other = await fleet.placed({ runtime: 'paper' });
    expect((await fleet.open(await fleet.grant(other.request))).password).not.toBe(passwords[0]);
  });

  it('give paper the password that somebody chose', async () => {
    const placed = await fleet.placed({ runtime: 'paper' });
    await fleet.setPassword(placed.request.account, 'chosen');
    expect((await fleet.open(await fleet.grant(placed.request))).password).toBe('chosen');
  });

  it('keep a bounded number of rows for an account', async () => {
    const placed = await fleet.placed();
    const { account } = placed.request;
    await fleet.setPassword(account, 'the broker password');
    await fleet.sql(
      `INSERT INTO secrets.grants (id, allocation, account, host, epoch, credential_version, issued_at, expires_at)
       SELECT gen_random_uuid(), gen_random_uuid(), $1, 'host-a', 1, 1, now() - n * interval '1 day', now()
         FROM generate_series(1, $2) n`,
      [account, grants_kept_max + 20],
    );
    const grant = await fleet.grant(placed.request);
    const rows = await fleet.grantRows(account);
    expect(rows).toHaveLength(grants_kept_max);
    expect(rows.at(-1)?.['id']).toBe(grant.id);
  });

  it('are events on the stream, signed by this service and numbered without a gap', async () => {
    const placed = await fleet.placed();
    await fleet.setPassword(placed.request.account, 'the broker password');
    await fleet.grant(placed.request);
    const { publicJwk } = await SigningKey.fromFile(fleet.config.signingKeyPath);
    const tailed: TailedMessage[] = [];
    const stop = await fleet.messaging.tail(subjects.eventsAll(), (message) => void tailed.push(message), {
      sinceSeq: 1,
    });
    try {
      await waitFor(() => tailed.some(({ bytes }) => textOf(bytes).includes(placed.request.allocation)), {
        what: 'the grant on the stream',
      });
    } finally {
      await stop();
    }
    const sequences = await Promise.all(
      tailed.map(async (message) => {
        await verifyEvent(message, publicJwk);
        const { attributes } = decodeEvent({ ...message, body: JSON.parse(textOf(message.bytes)) });
        expect(attributes.source).toBe('/secrets');
        return attributes.sequence;
      }),
    );
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  });

  describe('are refused, with an event and no row,', () => {
    /** Asks for what must not be given and returns the code of the refusal. */
    const refused = async (
      request: Awaited<ReturnType<SecretsFixture['placed']>>['request'],
      host = request.host,
    ): Promise<string> => {
      const problem = await fleet.grantRefusal(request, host);
      expect(await fleet.grantRows(request.account)).toEqual([]);
      const events = await fleet.events(request.allocation);
      const { allocation, account, epoch } = request;
      expect(events).toEqual([
        {
          type: 'tradefleet.grant.refused',
          actor: `host:${host}`,
          data: {
            ...{ grant: null, expiresAt: null },
            ...{ allocation, account, epoch, host: request.host, code: problem.code },
          },
        },
      ]);
      return problem.code;
    };
    const ready = async (...fields: Parameters<SecretsFixture['placed']>) => {
      const placed = await fleet.placed(...fields);
      await fleet.setPassword(placed.request.account, 'the broker password');
      // The events of the password are about the account; what follows is about the allocation.
      return placed;
    };

    it('with the token of another allocation', async () => {
      const { request } = await ready();
      const other = { ...request, allocation: newId() };
      expect(await refused(other)).toBe('grant_refused');
    });

    it('with the token of another host', async () => {
      const { request } = await ready();
      const host = uniqueName('host');
      fleet.live.add(`${request.allocation} ${request.account} ${host} ${request.epoch}`);
      expect(await refused({ ...request, host })).toBe('grant_refused');
    });

    it('with the token of another epoch', async () => {
      const { request } = await ready();
      fleet.live.add(`${request.allocation} ${request.account} ${request.host} ${request.epoch + 1}`);
      expect(await refused({ ...request, epoch: request.epoch + 1 })).toBe('grant_refused');
    });

    it('with the token of another account', async () => {
      const { request } = await ready();
      const account = fleet.anAccount();
      await fleet.setPassword(account, 'of the other');
      fleet.live.add(`${request.allocation} ${account} ${request.host} ${request.epoch}`);
      expect(await refused({ ...request, account })).toBe('grant_refused');
    });

    it('when the token has expired', async () => {
      const { request } = await ready({}, { expiresIn_ms: -1000 });
      expect(await refused(request)).toBe('bad_signature');
    });

    it('when the token was signed by another key', async () => {
      const { request } = await ready({}, { signer: await SigningKey.generate() });
      expect(await refused(request)).toBe('bad_signature');
    });

    it('with a token made for something else', async () => {
      const { request } = await ready({}, { typ: 'session+jwt' });
      expect(await refused(request)).toBe('bad_signature');
    });

    it('with a token for another audience', async () => {
      const { request } = await ready({ aud: 'gateway' as 'secrets' });
      expect(await refused(request)).toBe('bad_signature');
    });

    it('with no token at all', async () => {
      const { request } = await ready();
      expect(await refused({ ...request, token: '' })).toBe('bad_signature');
    });

    it('when a token was changed by one character', async () => {
      const { request } = await ready();
      const [head = '', payload = '', signature = ''] = request.token.split('.');
      const changed = `${payload.slice(0, -1)}${payload.endsWith('0') ? '1' : '0'}`;
      expect(await refused({ ...request, token: [head, changed, signature].join('.') })).toBe(
        'bad_signature',
      );
    });

    it('when the allocation is not live any more', async () => {
      const { request } = await ready();
      fleet.live.clear();
      expect(await refused(request)).toBe('grant_refused');
    });

    it('when the subject names another host than the request', async () => {
      const { request } = await ready();
      expect(await refused(request, uniqueName('host'))).toBe('wrong_host');
    });

    it('when a real account has no password yet, and that may change', async () => {
      const { request } = await fleet.placed({ runtime: 'mt5' });
      const problem = await fleet.grantRefusal(request);
      expect(problem).toMatchObject({ code: 'credentials_missing', retry: true });
      expect(problem.detail).toContain(request.account);
      await expect(refused(await fleet.placed({ runtime: 'mt5' }).then((p) => p.request))).resolves.toBe(
        'credentials_missing',
      );
      await fleet.setPassword(request.account, 'now there');
      expect((await fleet.open(await fleet.grant(request))).password).toBe('now there');
    });
  });

  it.each([
    ['an unknown field', { more: 1 }],
    ['an epoch of zero', { epoch: 0 }],
    ['no token', { token: undefined }],
    ['a token without end', { token: 'A'.repeat(5000) }],
  ])('answer a request with %s by invalid_request', async (_, changed) => {
    const { request } = await fleet.placed();
    const answer = await fleet.requestGrant({ ...request, ...changed } as typeof request, request.host);
    expect(answer).toMatchObject({ ok: false, problem: { code: 'invalid_request' } });
    expect(await fleet.grantRows(request.account)).toEqual([]);
    const { host } = request;
    const events = await waitFor(
      async () => {
        const found = await fleet.events(host);
        return found.length > 0 ? found : null;
      },
      { what: 'the event of the refusal' },
    );
    expect(events).toMatchObject([
      {
        type: 'tradefleet.message.rejected',
        actor: `host:${host}`,
        data: { host, verb: 'grant', code: 'invalid_request' },
      },
    ]);
  });
});

describe('grants without an answer of the scheduler', () => {
  it('are refused for now, give nothing out and are no refusal of the host', async () => {
    const fleet = await SecretsFixture.start();
    try {
      const { request } = await fleet.placed();
      await fleet.setPassword(request.account, 'the broker password');
      await fleet.schedulerGoes();
      await expect(fleet.grantRefusal(request)).resolves.toMatchObject({ code: 'unavailable', retry: true });
      expect(await fleet.grantRows(request.account)).toEqual([]);
      expect(await fleet.events(request.allocation)).toEqual([]);
    } finally {
      await fleet.stop();
    }
  });
});

describe('refusals', () => {
  it('cannot fill the database: beyond the rate they are counted', async () => {
    const fleet = await SecretsFixture.start({ refusalEventsPerSecond: 1 });
    try {
      const { request } = await fleet.placed();
      const bad = { ...request, token: randomBytes(8).toString('hex') };
      await Promise.all(Array.from({ length: 30 }, async () => await fleet.grantRefusal(bad)));
      // However slow the machine: a token a second, and thirty requests do not take thirty seconds.
      expect((await fleet.events(request.allocation)).length).toBeLessThan(30);
      const recorder = fleet.app.get(RefusalsRecorder);
      await waitFor(() => recorder.suppressedCount > 0, { what: 'some to be counted only' });
      const suppressed = recorder.suppressedCount;
      await recorder.stop();
      const [told] = await fleet.events('secrets');
      expect(told).toMatchObject({
        type: 'tradefleet.request.refusals-suppressed',
        actor: 'service:secrets',
        data: { door: 'secrets', count: suppressed, codes: { bad_signature: suppressed }, askers: 1 },
      });
    } finally {
      await fleet.stop();
    }
  });
});
