import {
  eventHeaders,
  eventSigningInput,
  ProblemError,
  type EventAttributes,
  type PublicJwk,
} from '#libs/contracts';
import { header, verifySignature, type Delivery, type SigningKey } from '#libs/messaging';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { AUDIT_SIGNING_KEY } from '../audit.keys.js';
import { HostKeys } from './host-keys.js';

/** `unknown`: no key of the source is known. */
export type SignatureVerdict = 'good' | 'bad' | 'unknown';

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

  async ofEvent(
    attributes: EventAttributes,
    { bytes, headers }: Pick<Delivery, 'bytes' | 'headers'>,
  ): Promise<SignatureVerdict> {
    const signature = header(headers, eventHeaders.signature);
    return await this.check(attributes, eventSigningInput(attributes, bytes), signature);
  }

  /** Of any bytes that a producer signs for an incarnation. */
  async check(
    { source, incarnation }: Pick<EventAttributes, 'source' | 'incarnation'>,
    bytes: Uint8Array,
    signature: string | undefined,
  ): Promise<SignatureVerdict> {
    const host = hostOf(source);
    if (host !== null) return await this.ofHost(host, { source, incarnation }, bytes, signature);
    const keys = this.services.get(source);
    if (keys === undefined) return 'unknown';
    return (await isSigned(bytes, signature, keys)) ? 'good' : 'bad';
  }

  private async ofHost(
    host: string,
    producer: Pick<EventAttributes, 'source' | 'incarnation'>,
    bytes: Uint8Array,
    signature: string | undefined,
  ): Promise<SignatureVerdict> {
    // The second time with what another process may have recorded meanwhile.
    for (const again of [false, true]) {
      const keys = await this.hosts.of(host, producer.incarnation, again);
      if (keys === null) return 'unknown';
      if (await isSigned(bytes, signature, keys.present)) return 'good';
      const isEarlier = keys.earlier.length > 0 && (await isSigned(bytes, signature, keys.earlier));
      if (isEarlier && (await this.hosts.isKnown(producer.source, producer.incarnation))) return 'good';
    }
    return 'bad';
  }
}

async function isSigned(
  bytes: Uint8Array,
  signature: string | undefined,
  keys: readonly PublicJwk[],
): Promise<boolean> {
  try {
    await verifySignature(bytes, signature, keys);
    return true;
  } catch (error) {
    if (error instanceof ProblemError) return false;
    throw error;
  }
}
