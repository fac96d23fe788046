import { CLOCK, type Clock } from '#libs/clock';
import { EventAttributes, eventHeaders, eventTypes, ProblemError } from '#libs/contracts';
import {
  decodeEventData,
  header,
  NotAnEvent,
  parseBody,
  readEventAttributes,
  type DecodedEvent,
  type Delivery,
} from '#libs/messaging';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import {
  quarantined,
  toMessage,
  type ProducerPlace,
  type QuarantinedMessage,
  type RecordedEvent,
} from '../ingestion/recorded-event.js';
import { faultOfClock, faultOfId, faultOfProducer, faultOfTime, type Fault } from './event.rules.js';
import { HostKeys } from './host-keys.js';
import { SequenceHeights } from './sequence-heights.js';
import { SignatureCheck, type SignatureVerdict } from './signature.check.js';
import { WaitingRoom } from './waiting-room.js';

/** What a delivery is. */
export type Classified =
  | { readonly kind: 'event'; readonly event: RecordedEvent }
  | { readonly kind: 'quarantined'; readonly message: QuarantinedMessage }
  /** Its sender is not known yet: to be handed out again after so long. */
  | { readonly kind: 'later'; readonly delay_ms: number };

/** What is known of a delivery when it has been read. */
interface Looked {
  readonly delivery: Delivery;
  /** Null where they cannot be read. */
  readonly attributes: EventAttributes | null;
  readonly event: DecodedEvent | null;
  readonly fault: Fault | null;
}

/** And who sent it looked at. */
interface Read extends Looked {
  readonly signature: SignatureVerdict;
}

const registered = 'tradefleet.host.registered';

/**
 * Tells what deliveries are: never throws for what a sender did wrong.
 *
 *   attributes -> time, type, subject, data -> right of the producer -> id and time -> clock -> signature -> number
 *
 * The first that does not fit is why a message is put aside. The signature is looked at in any case: when it is good, the
 * producer did send this, and its number is settled although the message is no event.
 */
@Injectable()
export class Classifier {
  private readonly waiting: WaitingRoom;

  constructor(
    private readonly signatures: SignatureCheck,
    private readonly hosts: HostKeys,
    private readonly heights: SequenceHeights,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(AUDIT_CONFIG) { unknownHostWaitMs }: AuditConfig,
  ) {
    this.waiting = new WaitingRoom(clock, unknownHostWaitMs);
  }

  /** In the order of the deliveries, one for each. */
  async classify(deliveries: readonly Delivery[]): Promise<Classified[]> {
    const reads = await this.readAll(deliveries);
    const places = reads.map(placeOf);
    const farOff = await this.areFarOff(places);
    const recordedAt = new Date(this.clock.wallMs()).toISOString();
    return reads.map((read, index) => {
      if (read.signature === 'unknown' && read.fault === null) return this.unknown(read);
      this.waiting.leave(read.delivery.seq);
      const isFarOff = farOff[index] === true;
      const place = isFarOff ? null : (places[index] ?? null);
      const fault = read.fault ?? faultOfSignature(read) ?? (isFarOff ? tooFar : null);
      return fault === null && read.event !== null
        ? { kind: 'event', event: toRecorded(read.delivery, read.event, recordedAt) }
        : aside(read.delivery, fault ?? nothingRead, place);
    });
  }

  /** What was classified could not be recorded: hosts may be unknown for that reason alone. */
  notRecorded(): void {
    this.waiting.beginAnew();
  }

  /** Registrations first: the same batch may hold the first events of their hosts. */
  private async readAll(deliveries: readonly Delivery[]): Promise<Read[]> {
    const looked = deliveries.map((delivery) => this.look(delivery));
    const isFirst = ({ event }: Looked): boolean => event?.type === registered;
    const first = await this.signed(looked.filter(isFirst));
    for (const one of first) await this.learn(one);
    const others = (await this.signed(looked.filter((one) => !isFirst(one)))).values();
    const registrations = first.values();
    return looked.flatMap((one) => (isFirst(one) ? registrations : others).next().value ?? []);
  }

  private look(delivery: Delivery): Looked {
    let attributes: EventAttributes | null = null;
    let event: DecodedEvent | null = null;
    let fault: Fault | null = null;
    try {
      attributes = readEventAttributes(delivery.headers);
      fault = faultOfTime(attributes);
      event = decodeEventData(attributes, new Received(delivery));
    } catch (error) {
      if (!(error instanceof NotAnEvent)) throw error;
      fault ??= { code: error.code, reason: error.reason };
    }
    if (attributes !== null && event !== null) {
      const time_ms = Date.parse(attributes.time);
      fault ??=
        faultOfProducer(event) ??
        faultOfId(attributes, time_ms) ??
        faultOfClock(time_ms, this.clock.wallMs());
    }
    return { delivery, attributes, event, fault };
  }

  /** With what their signatures are worth; that of what has no attributes is over nothing. */
  private async signed(looked: readonly Looked[]): Promise<Read[]> {
    const toCheck = looked.flatMap(({ attributes, delivery }) =>
      attributes === null ? [] : { attributes, delivery },
    );
    const verdicts = (await this.signatures.ofEvents(toCheck)).values();
    return looked.map((one) => ({
      ...one,
      signature: one.attributes === null ? 'bad' : (verdicts.next().value ?? 'bad'),
    }));
  }

  private async learn({ event, fault, signature }: Read): Promise<void> {
    if (event?.type !== registered || fault !== null || signature !== 'good') return;
    const { attributes, data, entityId } = event;
    const { id, time } = attributes;
    await this.hosts.learn(entityId, { id, time, incarnation: data.incarnation, key: data.signingKey });
  }

  private async areFarOff(places: readonly (ProducerPlace | null)[]): Promise<boolean[]> {
    const known = places.flatMap((place) => place ?? []);
    const answers = (await this.heights.areFarOff(known)).values();
    return places.map((place) => place !== null && answers.next().value === true);
  }

  private unknown({ delivery, attributes }: Read): Classified {
    const isHost = attributes?.source.startsWith('/agent/') === true;
    const delay_ms = isHost ? this.waiting.enter(delivery.seq) : null;
    if (delay_ms !== null) return { kind: 'later', delay_ms };
    return aside(
      delivery,
      { code: 'unknown_producer', reason: `no key of ${attributes?.source ?? 'its source'} is known` },
      null,
    );
  }
}

const tooFar: Fault = {
  code: 'sequence_far_off',
  reason: 'the number is far above those its incarnation has used, or leaves out too many of them',
};
const nothingRead: Fault = { code: 'bad_attributes', reason: 'it cannot be read' };

const faultOfSignature = ({ signature }: Read): Fault | null =>
  signature === 'good'
    ? null
    : { code: 'bad_signature', reason: 'no key that its source may use for this incarnation has signed it' };

const placeOf = ({ attributes, signature }: Read): ProducerPlace | null => {
  if (attributes === null || signature !== 'good') return null;
  const { source, incarnation, sequence } = attributes;
  return { source, incarnation, sequence };
};

function aside(delivery: Delivery, { code, reason }: Fault, place: ProducerPlace | null): Classified {
  const claimed = EventAttributes.shape.source.safeParse(header(delivery.headers, eventHeaders.source));
  const source = claimed.data ?? null;
  const message = quarantined(toMessage(delivery), { code, reason, source, place });
  return { kind: 'quarantined', message };
}

/** The body is parsed when it is asked for: after what comes before it. */
class Received {
  constructor(private readonly delivery: Delivery) {}

  get subject(): string {
    return this.delivery.subject;
  }

  /** Throws `NotAnEvent` for what is no JSON. */
  get body(): unknown {
    try {
      return parseBody(this.delivery.bytes);
    } catch (error) {
      if (error instanceof ProblemError) throw new NotAnEvent('bad_data', 'the body is no JSON');
      throw error;
    }
  }
}

function toRecorded(
  delivery: Delivery,
  { attributes, type }: DecodedEvent,
  recordedAt: string,
): RecordedEvent {
  const { severity, retention } = eventTypes[type];
  const { id, source, incarnation, sequence, subject, actor, time, traceparent = null } = attributes;
  const signature = header(delivery.headers, eventHeaders.signature) ?? null;
  const { buffer, byteOffset, byteLength } = delivery.bytes;
  const data = Buffer.from(buffer, byteOffset, byteLength).toString('utf8');
  return {
    message: toMessage(delivery),
    record: {
      v: 1,
      id,
      source,
      incarnation,
      sequence,
      type,
      subject,
      severity,
      retention,
      actor,
      subjectId: null,
      time,
      traceparent,
      recordedAt,
      signature,
      data,
    },
  };
}
