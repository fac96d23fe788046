import {
  newId,
  signatureHeader,
  type AllocationEventData,
  type EventData,
  type EventTypeName,
  type Heartbeat,
  type HostRegister,
  type ObservedAllocation,
} from '#libs/contracts';
import {
  encodeSignedEvent,
  SealingKey,
  SigningKey,
  type Delivery,
  type OutgoingMessage,
} from '#libs/messaging';
import { aHostRegister, uniqueName } from '#libs/testing';
import type { HostProof } from './host-proof.js';

/** A host's identity for tests: real keys, real messages; what it says is up to the test. */
export class SignedHost {
  incarnation = newId();
  private heartbeats = 0;
  private events = 0;

  private constructor(
    readonly name: string,
    readonly key: SigningKey,
    readonly sealing: SealingKey,
    readonly registration: HostRegister,
  ) {}

  static async create(over: Partial<HostRegister> = {}): Promise<SignedHost> {
    const key = await SigningKey.generate();
    const sealing = await SealingKey.generate();
    const registration = aHostRegister({
      host: uniqueName('host'),
      signingKey: key.publicJwk,
      sealingKey: sealing.publicJwk,
      ...over,
    });
    return new SignedHost(registration.host, key, sealing, registration);
  }

  /** A registration of this incarnation. */
  register(over: Partial<HostRegister> = {}): HostRegister {
    return { ...this.registration, incarnation: this.incarnation, ...over };
  }

  /** The next heartbeat. */
  heartbeat(allocations: ObservedAllocation[] = [], over: Partial<Heartbeat> = {}): Heartbeat {
    return {
      host: this.name,
      incarnation: this.incarnation,
      sequence: (this.heartbeats += 1),
      capacity: this.registration.capacity,
      allocations,
      ...over,
    };
  }

  /** What goes with a body on its way: as the broker would hand it over. */
  async proof(body: unknown, over: Partial<HostProof> = {}): Promise<HostProof> {
    const bytes = Buffer.from(JSON.stringify(body), 'utf8');
    return { subjectHost: this.name, bytes, signature: await this.key.sign(bytes), ...over };
  }

  async signedMessage(body: unknown): Promise<{ bytes: Uint8Array; headers: Record<string, string> }> {
    const bytes = Buffer.from(JSON.stringify(body), 'utf8');
    return { bytes, headers: { [signatureHeader]: await this.key.sign(bytes) } };
  }

  /** An event of this host as it is published. @param signer for forgeries */
  async event(
    type: EventTypeName & `tradefleet.allocation.${string}`,
    data: AllocationEventData & { readonly delayMs?: number },
    signer: SigningKey = this.key,
    source = `/agent/${this.name}`,
  ): Promise<OutgoingMessage> {
    return this.sign(type, data.allocation, data, signer, source);
  }

  /** What it says of a preparation. @param signer for forgeries */
  async preparation(
    type: 'tradefleet.move.prepared' | 'tradefleet.move.prepare-failed',
    data: EventData<'tradefleet.move.prepared'>,
    signer: SigningKey = this.key,
  ): Promise<OutgoingMessage> {
    return this.sign(type, data.move, data, signer, `/agent/${this.name}`);
  }

  private async sign<T extends EventTypeName>(
    type: T,
    subjectId: string,
    data: EventData<T>,
    signer: SigningKey,
    source: string,
  ): Promise<OutgoingMessage> {
    return encodeSignedEvent(
      {
        type,
        subjectId,
        data,
        actor: `host:${this.name}`,
        time: new Date().toISOString(),
        id: newId(),
        source,
        incarnation: this.incarnation,
        sequence: (this.events += 1),
      },
      signer,
    );
  }

  /** A new life of the agent: another incarnation, counting from 1. */
  restart(): void {
    this.incarnation = newId();
    this.heartbeats = 0;
    this.events = 0;
  }
}

/** A message as a consumer hands it to its handler; `rejections` collects the reasons of those given up. */
export function asDelivery(message: OutgoingMessage, rejections: string[]): Delivery {
  const bytes = Buffer.from(message.body);
  return {
    body: JSON.parse(bytes.toString('utf8')) as unknown,
    bytes,
    subject: message.subject,
    headers: message.headers,
    seq: 1,
    storedAtMs: 0,
    deliveries: 1,
    working: () => undefined,
    reject: (reason) => void rejections.push(reason),
    later: () => undefined,
  };
}
