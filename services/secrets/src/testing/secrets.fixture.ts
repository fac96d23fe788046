import { Writable } from 'node:stream';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestMicroservice } from '@nestjs/common';
import { headers as natsHeaders, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import {
  type AllocationToken,
  api,
  type ApiName,
  type ApiResponse,
  apiSubject,
  Credentials,
  Grant,
  type GrantRequest,
  newId,
  type Problem,
  streams,
  subjects,
} from '#libs/contracts';
import {
  connectMessaging,
  type Messaging,
  natsPermissions,
  natsServerConfig,
  natsUserName,
  provision,
  seal,
  SealingKey,
  SigningKey,
  signToken,
} from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import {
  aPublicKey,
  startNats,
  startPostgres,
  type TestNats,
  type TestPostgres,
  uniqueLogin,
  uniqueName,
  withClient,
} from '#libs/testing';
import { SecretsConfig } from '../secrets.config.js';
import { startSecrets } from '../secrets.process.js';

/** Who asks, and stands in for the scheduler; the secrets service itself has its own user with its few rights. */
const everything = { user: 'spec', pass: 'password-of-the-spec' };

function natsConfig(chosen: { port: number; storeDir: string }): string {
  const permissions = natsPermissions('secrets');
  return natsServerConfig({
    ...chosen,
    users: [
      { user: natsUserName('secrets'), password: 'password-of-secrets', permissions },
      {
        ...{ user: everything.user, password: everything.pass },
        permissions: { publish: ['>'], subscribe: ['>'], allowResponses: false },
      },
    ],
  });
}

export interface Recorded {
  readonly type: string;
  readonly actor: string;
  readonly data: Record<string, unknown>;
}

/** A live allocation as a test has it, with what its host would know. */
export interface Placed {
  readonly request: GrantRequest;
  readonly claims: Omit<AllocationToken, 'iat' | 'exp'>;
}

/**
 * The whole service on a real NATS and a real Postgres. Accounts and live allocations are told by a stand-in for the
 * scheduler that answers over NATS: `accounts` and `live` are what it knows.
 */
export class SecretsFixture {
  readonly accounts = new Set<string>();
  /** `<allocation> <account> <host> <epoch>` of what is live. */
  readonly live = new Set<string>();
  private readonly standIns: Subscription[] = [];

  private constructor(
    readonly app: INestMicroservice,
    readonly client: NatsConnection,
    readonly messaging: Messaging,
    readonly databaseUrl: string,
    readonly config: SecretsConfig,
    /** The scheduler's. */
    readonly signer: SigningKey,
    /** Of the host that runs the allocations. */
    readonly hostKey: SealingKey,
    private readonly lines: readonly string[],
    private readonly folder: string,
    private readonly nats: TestNats,
    private readonly postgres: TestPostgres,
  ) {}

  static async start(settings: Partial<SecretsConfig> = {}): Promise<SecretsFixture> {
    const [nats, postgres, signer, hostKey, folder] = await Promise.all([
      startNats({ config: natsConfig, probe: everything }),
      startPostgres(),
      SigningKey.generate(),
      SealingKey.generate(),
      mkdtemp(join(tmpdir(), 'tradefleet-secrets-')),
    ]);
    const databaseUrl = await postgres.createDatabase();
    const silent = createLogger({ service: 'secrets-spec', level: 'silent' });
    const messaging = await connectMessaging({
      ...{ servers: nats.url, user: everything.user, password: everything.pass },
      ...{ name: 'spec', logger: silent },
    });
    await provision(messaging, { streams: Object.values(streams) });
    const config = SecretsConfig.parse({
      natsUrl: [nats.url],
      natsUser: natsUserName('secrets'),
      natsPassword: 'password-of-secrets',
      databaseUrl,
      masterKeyPath: join(folder, 'master-keys.json'),
      sealingKeyPath: join(folder, 'sealing.jwk'),
      signingKeyPath: join(folder, 'signing.jwk'),
      schedulerPublicKey: signer.publicJwk,
      auditPublicKey: aPublicKey,
      logLevel: 'trace',
      refusalEventsPerSecond: 1000,
      ...settings,
    });
    const lines: string[] = [];
    const destination = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lines.push(chunk.toString('utf8'));
        done();
      },
    });
    const logger = createLogger({ service: 'secrets', level: 'trace', destination });
    const app = await startSecrets({ config, logger });
    const client = await nats.connect(everything);
    const fixture = new SecretsFixture(
      ...([app, client, messaging, databaseUrl, config, signer, hostKey] as const),
      ...([lines, folder, nats, postgres] as const),
    );
    fixture.standInForTheScheduler();
    await client.flush();
    return fixture;
  }

  /** Everything the service logged, at every level. */
  get logged(): string {
    return this.lines.join('');
  }

  async stop(): Promise<void> {
    await this.app.close();
    await this.client.close();
    await this.messaging.drain();
    await this.nats.stop();
    await this.postgres.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Sends bytes as a stock client does and gives the answer as it comes. */
  async send(subject: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    const carried = natsHeaders();
    for (const [name, value] of Object.entries(headers)) carried.set(name, value);
    const options = { timeout: 20_000, headers: carried };
    const answer = await this.client.request(subject, JSON.stringify(body), options);
    return answer.json<Reply>();
  }

  async ask<N extends ApiName>(name: N, body: unknown, actor = 'user:ada'): Promise<ApiResponse<N>> {
    const answer = await this.send(apiSubject(name), body, { 'tradefleet-actor': actor });
    if (!answer.ok) throw new Error(`${name} was refused: ${JSON.stringify(answer)}`);
    return api[name].response.parse(answer.result) as ApiResponse<N>;
  }

  async refusal(name: ApiName, body: unknown, actor = 'user:ada'): Promise<Problem> {
    const answer = await this.send(apiSubject(name), body, { 'tradefleet-actor': actor });
    if (answer.ok) throw new Error(`${name} was not refused`);
    return answer.problem;
  }

  /** An account the stand-in knows. */
  anAccount(): string {
    const name = uniqueName('account');
    this.accounts.add(name);
    return name;
  }

  /** From now on nobody answers for the scheduler. */
  async schedulerGoes(): Promise<void> {
    for (const subscription of this.standIns.splice(0)) subscription.unsubscribe();
    await this.client.flush();
  }

  /** A live allocation and its signed token. `fields` are claims that must be so. */
  async placed(
    fields: Partial<Placed['claims']> = {},
    { signer = this.signer, typ = 'allocation+jwt', expiresIn_ms = 60_000 } = {},
  ): Promise<Placed> {
    const claims: Placed['claims'] = {
      ...({ iss: 'scheduler', aud: 'secrets', runtime: 'mt5', server: 'Paper-Demo' } as const),
      sub: newId(),
      host: uniqueName('host'),
      account: fields.account ?? this.anAccount(),
      tenant: uniqueName('tenant'),
      epoch: 3,
      login: uniqueLogin(),
      cnf: { jwk: this.hostKey.publicJwk },
      ...fields,
    };
    const now_ms = Date.now();
    const times = { issuedAt: new Date(now_ms - 1000), expiresAt: new Date(now_ms + expiresIn_ms) };
    const token = await signToken(claims, { typ, ...times }, signer);
    const { sub: allocation, host, account, epoch } = claims;
    this.live.add(`${allocation} ${account} ${host} ${epoch}`);
    return { claims, request: { host, allocation, account, epoch, token } };
  }

  async requestGrant(request: GrantRequest, host = request.host): Promise<Reply> {
    return await this.send(subjects.grant(host), request);
  }

  async grant(request: GrantRequest): Promise<Grant> {
    const answer = await this.requestGrant(request);
    if (!answer.ok) throw new Error(`The grant was refused: ${JSON.stringify(answer.problem)}`);
    return Grant.parse(answer.result);
  }

  async grantRefusal(request: GrantRequest, host = request.host): Promise<Problem> {
    const answer = await this.requestGrant(request, host);
    if (answer.ok) throw new Error('The grant was not refused');
    return answer.problem;
  }

  /** Opens a grant as its host does. */
  async open({ sealed }: Grant, key = this.hostKey): Promise<Credentials> {
    return Credentials.parse(JSON.parse(Buffer.from(await key.open(sealed)).toString('utf8')));
  }

  /** Seals a password as a client does, with the key the service gives. */
  async sealed(account: string, password: string): Promise<string> {
    return await this.sealedText(JSON.stringify({ account, password }));
  }

  async sealedText(text: string): Promise<string> {
    const { key } = await this.ask('credentials.key', {});
    return await seal(Buffer.from(text, 'utf8'), key);
  }

  async setPassword(account: string, password: string): Promise<ApiResponse<'credentials.set'>> {
    return await this.ask('credentials.set', { account, sealed: await this.sealed(account, password) });
  }

  async sql<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
    return await withClient(this.databaseUrl, async (c) => (await c.query<T>(text, values)).rows);
  }

  /** What the outbox was told of the account or allocation, in order. */
  async events(about: string): Promise<Recorded[]> {
    const rows = await this.sql<{ event: { type: string; actor: string }; body: string }>(
      `SELECT event, body FROM secrets.outbox WHERE event IS NOT NULL AND body LIKE '%"' || $1 || '"%' ORDER BY id`,
      [about],
    );
    return rows.map(({ event, body }) => ({
      type: event.type,
      actor: event.actor,
      data: JSON.parse(body) as Record<string, unknown>,
    }));
  }

  async grantRows(account: string): Promise<Record<string, unknown>[]> {
    return await this.sql('SELECT * FROM secrets.grants WHERE account = $1 ORDER BY issued_at, id', [
      account,
    ]);
  }

  private standInForTheScheduler(): void {
    this.answer(subjects.internal('allocations', 'check'), (body) => {
      const { allocation, account, host, epoch } = body;
      return { ok: true, result: { live: this.live.has(`${allocation} ${account} ${host} ${epoch}`) } };
    });
    this.answer(apiSubject('accounts.get'), ({ name }) => {
      if (this.accounts.has(String(name))) return { ok: true, result: accountNamed(String(name)) };
      const problem = { code: 'account_not_found', title: 'No such account', status: 404, retry: false };
      return {
        ok: false,
        problem: { ...problem, type: 'urn:tradefleet:error:account_not_found', detail: 'Create it first.' },
      };
    });
  }

  private answer(subject: string, reply: (body: Record<string, string | number>) => unknown): void {
    const subscription = this.client.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) throw error;
        message.respond(JSON.stringify(reply(message.json<Record<string, string | number>>())));
      },
    });
    this.standIns.push(subscription);
  }
}

type Reply = { ok: true; result: unknown } | { ok: false; problem: Problem };

const accountNamed = (name: string) => ({
  ...{ name, tenant: 'acme', server: 'Paper-Demo', login: 1, locked: null, epoch: 0, generation: 1 },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'user:spec' },
});
