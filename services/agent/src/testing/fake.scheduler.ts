import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import {
  Credentials,
  GrantRequest,
  Heartbeat,
  HostRegister,
  ProblemError,
  consumers,
  eventHeaders,
  signatureHeader,
  streams,
  subjects,
  WatermarkRequest,
  type Command,
  type Grant,
  type HeartbeatAck,
  type HostRegistered,
  type WatermarkAnswer,
} from '#libs/contracts';
import {
  RequestReplyServer,
  SignedReply,
  SigningKey,
  connectMessaging,
  decodeEvent,
  provision,
  seal,
  verifyEvent,
  verifySignature,
  type DecodedEvent,
  type Messaging,
  type RequestContext,
  type TailedMessage,
} from '#libs/messaging';
import { newTraceparent, type Logger } from '#libs/telemetry';
import { waitFor, WatermarkLedger } from '#libs/testing';

type Body<S extends z.ZodType> = z.output<S>;

/**
 * Scheduler, secrets and audit service for tests of the agent: the real contracts over a real broker, and no more sense than
 * a test gives it. Everything an agent says is checked and kept.
 */
export class FakeScheduler {
  readonly registrations: HostRegister[] = [];
  readonly heartbeats: Heartbeat[] = [];
  readonly grants: GrantRequest[] = [];
  /** As they came, also those that came again. */
  readonly events: DecodedEvent[] = [];
  /** Message ids of the events. */
  readonly messageIds: string[] = [];
  /** What has reached the audit log. */
  readonly ledger = new WatermarkLedger();
  readonly watermarkRequests: WatermarkRequest[] = [];
  /** Does not answer how far events are recorded. */
  isAuditAway = false;
  /** What the next answers say. */
  term = 1;
  leaseTtlMs = 15_000;
  heartbeatIntervalMs = 200;
  /** Allocations whose lease is not renewed. */
  readonly withheld = new Set<string>();
  withholdAll = false;
  readonly unwanted = new Set<string>();
  /** From the decision on a heartbeat to its answer. */
  answerDelayMs = 0;
  /** Changes an answer before it is signed. */
  spoil: (answer: HeartbeatAck) => HeartbeatAck = (answer) => answer;
  /** Answers of the scheduler before it registers. */
  registerRefusals: ProblemError[] = [];
  /** Refuses registrations with this. */
  registrationRefusal: ProblemError | null = null;
  /** Refuses heartbeats with this. */
  refusal: ProblemError | null = null;
  password = 'correct horse battery staple';
  /** Answers of the secrets service before it grants. */
  grantRefusals: ProblemError[] = [];
  grantedLogin: number | null = null;
  #servers: RequestReplyServer[] = [];
  #reading: Promise<void> = Promise.resolve();
  #stopReading: () => Promise<void> = () => Promise.resolve();

  private constructor(
    readonly messaging: Messaging,
    readonly key: SigningKey,
    readonly host: string,
  ) {}

  static async start(url: string, host: string, logger: Logger): Promise<FakeScheduler> {
    const messaging = await connectMessaging({ servers: url, name: 'fake-scheduler', logger });
    const fake = new FakeScheduler(messaging, await SigningKey.generate(), host);
    await provision(messaging, {
      streams: Object.values(streams),
      consumers: [consumers.agentCommands(host)],
    });
    await fake.read();
    await fake.listen();
    return fake;
  }

  /** Reads the stream of events from now on. */
  async read(): Promise<void> {
    this.#stopReading = await this.messaging.tail(
      subjects.eventsAll(),
      (message) => {
        // One after the other: verifying takes its time and must not change the order.
        this.#reading = this.#reading.then(async () => await this.#onEvent(message));
      },
      { newOnly: true },
    );
  }

  /** The stream of events and all in it is gone, and made anew; what was not read is lost. */
  async loseEvents(): Promise<void> {
    await this.#stopReading();
    await this.#reading;
    await (await this.messaging.manager()).streams.delete(streams.events.name);
    await provision(this.messaging, { streams: [streams.events], consumers: [] });
    await this.read();
  }

  /** Serves; a second key signs answers when given, as a forger would. */
  async listen(replySigner: SigningKey = this.key): Promise<void> {
    const server = new RequestReplyServer(this.messaging, { queue: `fake-${this.host}`, replySigner });
    const serve = <S extends z.ZodType>(
      subject: string,
      schema: S,
      handler: (body: Body<S>, context: RequestContext) => Promise<unknown>,
    ): void => {
      const extras = { kind: 'request', name: subject, api: null, schema, pool: 'internal' };
      server.addHandler(subject, handler, false, extras);
    };
    serve(
      subjects.register(this.host),
      HostRegister,
      async (body, context) => await this.#register(body, context),
    );
    serve(
      subjects.heartbeat(this.host),
      Heartbeat,
      async (body, context) => await this.#heartbeat(body, context),
    );
    serve(subjects.grant(this.host), GrantRequest, async (body) => await this.#grant(body));
    serve(
      subjects.watermark(this.host),
      WatermarkRequest,
      async (body, context) => await this.#watermark(body, context),
    );
    await new Promise<void>((resolve, reject) => {
      server.listen((error) => {
        if (error === undefined) resolve();
        else reject(new Error('the fake scheduler does not listen', { cause: error }));
      });
    });
    this.#servers.push(server);
  }

  /** Goes away, as in a partition: nobody answers. */
  async deafen(): Promise<void> {
    for (const server of this.#servers.splice(0)) await server.close();
  }

  /** Sends a command as the scheduler does; `tamper` changes what arrives. */
  async send(
    command: object,
    tamper: { body?: string; signature?: string | null; traceparent?: string } = {},
  ): Promise<void> {
    const body = JSON.stringify(command);
    const signature =
      tamper.signature === undefined ? await this.key.sign(Buffer.from(body)) : tamper.signature;
    await this.messaging.publishDurable({
      subject: subjects.command(this.host, (command as Partial<Command>).verb ?? 'start'),
      messageId: randomUUID(),
      body: tamper.body ?? body,
      headers: {
        traceparent: tamper.traceparent ?? newTraceparent(),
        ...(signature === null ? {} : { [signatureHeader]: signature }),
      },
    });
  }

  /** What was said about one allocation, in order: `accepted`, `preparing`, ... */
  told(allocation: string): string[] {
    return this.events.filter((event) => event.entityId === allocation).map((event) => event.what);
  }

  /** Waits for an event and gives its data. */
  async heard(allocation: string, what: string): Promise<Record<string, unknown>> {
    return await waitFor(
      () => this.events.find((event) => event.entityId === allocation && event.what === what)?.data,
      { what: `event ${what}, heard: ${this.told(allocation).join(' ')}`, timeoutMs: 45_000 },
    );
  }

  async close(): Promise<void> {
    await this.#stopReading();
    await this.deafen();
    // An event that did not verify fails the test here.
    await this.#reading;
    await this.messaging.drain();
  }

  async #register(body: HostRegister, context: RequestContext): Promise<SignedReply<HostRegistered>> {
    await verifySignature(context.rawBody, context.headers[signatureHeader], body.signingKey);
    if (this.registrationRefusal !== null) throw this.registrationRefusal;
    this.registrations.push(body);
    const refusal = this.registerRefusals.shift();
    if (refusal !== undefined) throw refusal;
    return new SignedReply({
      host: body.host,
      incarnation: body.incarnation,
      leaseTtlMs: this.leaseTtlMs,
      heartbeatIntervalMs: this.heartbeatIntervalMs,
    });
  }

  async #heartbeat(body: Heartbeat, context: RequestContext): Promise<SignedReply<HeartbeatAck>> {
    const known = this.registrations.at(-1);
    if (known === undefined) throw new ProblemError('host_not_registered', 'Register first.');
    await verifySignature(context.rawBody, context.headers[signatureHeader], known.signingKey);
    this.heartbeats.push(body);
    if (this.refusal !== null) throw this.refusal;
    const live = body.allocations.filter((a) => !['stopped', 'failed', 'lost'].includes(a.state));
    const answer = this.spoil({
      host: body.host,
      incarnation: body.incarnation,
      sequence: body.sequence,
      term: this.term,
      leaseTtlMs: this.leaseTtlMs,
      heartbeatIntervalMs: this.heartbeatIntervalMs,
      leases: live
        .filter((a) => !this.withholdAll && !this.withheld.has(a.id))
        .map((a) => ({ allocation: a.id, epoch: a.epoch })),
      stop: body.allocations.filter((a) => this.unwanted.has(a.id)).map((a) => a.id),
    });
    await this.messaging.clock.sleep(this.answerDelayMs);
    return new SignedReply(answer);
  }

  async #grant(body: GrantRequest): Promise<Grant> {
    this.grants.push(body);
    const refusal = this.grantRefusals.shift();
    if (refusal !== undefined) throw refusal;
    const sealingKey = this.registrations.at(-1)?.sealingKey;
    if (sealingKey === undefined) throw new ProblemError('grant_refused', 'The host has no key.');
    const { login, server } = JSON.parse(body.token) as { login: number; server: string };
    const credentials: Credentials = { login: this.grantedLogin ?? login, password: this.password, server };
    return {
      id: randomUUID(),
      allocation: body.allocation,
      epoch: body.epoch,
      expiresAt: new Date(Date.now() + 600_000).toISOString(),
      sealed: await seal(Buffer.from(JSON.stringify(credentials)), sealingKey),
    };
  }

  async #watermark(body: WatermarkRequest, context: RequestContext): Promise<SignedReply<WatermarkAnswer>> {
    const key = this.registrations.at(-1)?.signingKey;
    if (key === undefined || body.source !== `/agent/${this.host}`)
      throw new ProblemError('forbidden', 'Ask as the host that has registered.');
    await verifySignature(context.rawBody, context.headers[signatureHeader], key);
    this.watermarkRequests.push(body);
    if (this.isAuditAway) throw new ProblemError('unavailable', 'Try again.');
    return new SignedReply(this.ledger.answer(body));
  }

  async #onEvent(message: TailedMessage): Promise<void> {
    const key = this.registrations.at(-1)?.signingKey;
    if (key === undefined) throw new Error('An event came before any registration.');
    await verifyEvent(message, key);
    const body = JSON.parse(Buffer.from(message.bytes).toString('utf8')) as unknown;
    const event = decodeEvent({ ...message, body });
    this.ledger.record(event.attributes);
    this.messageIds.push(message.headers[eventHeaders.messageId] ?? '');
    this.events.push(event);
  }
}
