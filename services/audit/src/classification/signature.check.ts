import {
  eventHeaders,
  eventSigningInput,
  ProblemError,
  type EventAttributes,
  type PublicJwk,
} from '#libs/contracts';
import {
  header,
  isOfVerifiedBatch,
  verifyEventSignature,
  verifySignature,
  type Delivery,
  type SigningKey,
} from '#libs/messaging';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { AUDIT_SIGNING_KEY } from '../audit.keys.js';
import { HostKeys } from './host-keys.js';

/** `unknown`: no key of the source is known. */
export type SignatureVerdict = 'good' | 'bad' | 'unknown';

type Producer = Pick<EventAttributes, 'source' | 'incarnation'>;
type IsSignedBy = (keys: readonly PublicJwk[]) => Promise<boolean>;

export interface EventToCheck {
  readonly attributes: EventAttributes;
  readonly delivery: Pick<Delivery, 'bytes' | 'headers'>;
}

const agentPrefix = '/agent/';

/** The host whose agent the source is; null for a service. */
export const hostOf = (source: string): string | null =>
  source.startsWith(agentPrefix) ? source.slice(agentPrefix.length) : null;

/** Whether an event, or a question about events, is from the source it names. */
@Injectable()
export class SignatureCheck {
  private readonly services = new Map<string, readonly PublicJwk[]>();

  constructor(
    private readonly hosts: HostKeys,
    @Inject(AUDIT_CONFIG) { trustedKeys }: AuditConfig,
    @Inject(AUDIT_SIGNING_KEY) own: SigningKey,
  ) {
    const ofThis = [own.publicJwk, ...(trustedKeys['/audit'] ?? [])];
    for (const [source, keys] of Object.entries({ ...trustedKeys, '/audit': ofThis }))
      if (keys !== undefined) this.services.set(source, keys);
  }

  /**
   * Of events, in their order. Of those that share a signature one goes ahead; once it is known to be good, the others only
   * have to show that they are of its batch.
   */
  async ofEvents(events: readonly EventToCheck[]): Promise<SignatureVerdict[]> {
    const verdicts = new Map<EventToCheck, SignatureVerdict>();
    const findOut = async (some: Iterable<EventToCheck>): Promise<void> => {
      await Promise.all([...some].map(async (one) => verdicts.set(one, await this.ofEvent(one))));
    };
    await findOut(new Map(events.map((event) => [sharedSignature(event), event])).values());
    for (const event of events)
      if (!verdicts.has(event) && this.isKnownGood(event)) verdicts.set(event, 'good');
    await findOut(events.filter((event) => !verdicts.has(event)));
    return events.map((event) => verdicts.get(event) ?? 'bad');
  }

  /** Of bytes that are no event and that a producer signs for an incarnation. */
  async check(
    producer: Producer,
    bytes: Uint8Array,
    signature: string | undefined,
  ): Promise<SignatureVerdict> {
    return await this.verdict(
      producer,
      async (keys) => await isSigned(verifySignature, bytes, signature, keys),
    );
  }

  private async ofEvent({ attributes, delivery }: EventToCheck): Promise<SignatureVerdict> {
    const signature = header(delivery.headers, eventHeaders.signature);
    const input = eventSigningInput(attributes, delivery.bytes);
    return await this.verdict(
      attributes,
      async (keys) => await isSigned(verifyEventSignature, input, signature, keys),
    );
  }

  /** False also where it would have to be found out. */
  private isKnownGood({ attributes, delivery }: EventToCheck): boolean {
    const { source, incarnation } = attributes;
    const host = hostOf(source);
    const keys = host === null ? this.services.get(source) : this.hosts.ofMemory(host, incarnation)?.present;
    if (keys === undefined) return false;
    const signature = header(delivery.headers, eventHeaders.signature);
    return isOfVerifiedBatch(eventSigningInput(attributes, delivery.bytes), signature, keys);
  }

  private async verdict(
    { source, incarnation }: Producer,
    isSignedBy: IsSignedBy,
  ): Promise<SignatureVerdict> {
    const host = hostOf(source);
    if (host !== null) return await this.ofHost(host, { source, incarnation }, isSignedBy);
    const keys = this.services.get(source);
    if (keys === undefined) return 'unknown';
    return (await isSignedBy(keys)) ? 'good' : 'bad';
  }

  private async ofHost(host: string, producer: Producer, isSignedBy: IsSignedBy): Promise<SignatureVerdict> {
    // The second time with what another process may have recorded meanwhile.
    for (const again of [false, true]) {
      const keys = await this.hosts.of(host, producer.incarnation, again);
      if (keys === null) return 'unknown';
      if (await isSignedBy(keys.present)) return 'good';
      const isEarlier = keys.earlier.length > 0 && (await isSignedBy(keys.earlier));
      if (isEarlier && (await this.hosts.isKnown(producer.source, producer.incarnation))) return 'good';
    }
    return 'bad';
  }
}

/** Each batch has one; what comes before the place of the event in it. */
function sharedSignature({ delivery }: EventToCheck): string {
  const signature = header(delivery.headers, eventHeaders.signature) ?? '';
  return signature.slice(0, signature.indexOf('~') + 1) || signature;
}

async function isSigned(
  verify: typeof verifySignature,
  bytes: Uint8Array,
  signature: string | undefined,
  keys: readonly PublicJwk[],
): Promise<boolean> {
  try {
    await verify(bytes, signature, keys);
    return true;
  } catch (error) {
    if (error instanceof ProblemError) return false;
    throw error;
  }
}
