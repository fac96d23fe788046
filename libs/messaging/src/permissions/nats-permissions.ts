import {
  api,
  apiNames,
  apiSubject,
  consumers,
  eventTypeParts,
  streams,
  subjects,
  type ConsumerSpec,
  type EventTypeName,
} from '#libs/contracts';
import { inboxPrefixOf } from '../connection.js';
import { eventProducers, type ServiceName } from './event-producers.js';

/** A user of NATS: one for each service, one for each agent, one that clients share. */
export type NatsUser = Exclude<ServiceName, 'agent'> | 'client' | { readonly agent: string };

export interface NatsPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** Servers of requests may answer each one once, wherever it came from. */
  readonly allowResponses: boolean;
  /**
   * An account of its own, which reaches nothing of the fleet but the subjects above. The reply subject of what a
   * user publishes is checked by no permission, and JetStream would answer a pull into its own API, as an order to
   * delete a stream. In an account of its own such an answer finds nobody.
   */
  readonly isolated?: boolean;
}

/** Requests between services. Who serves, who may ask. */
const internalRequests = [
  { subject: subjects.internal('allocations', 'check'), server: 'scheduler', clients: ['secrets'] },
  {
    subject: subjects.internal('audit', 'watermark'),
    server: 'audit',
    clients: ['scheduler', 'secrets', 'gateway'],
  },
  ...(['scheduler', 'audit', 'secrets'] as const).map((server) => ({
    subject: subjects.internal(server, 'health'),
    server,
    clients: ['gateway'],
  })),
] as const;

/** Operations of the public API that services need for themselves. */
const apiForServices = { secrets: ['accounts.get'] } as const;

export const natsUserName = (user: NatsUser): string =>
  typeof user === 'string' ? user : `agent-${user.agent}`;

/**
 * What a user may do, and nothing else: allow-lists only, since deny rules have been bypassed before
 * (CVE-2026-33222 and its kin). Publishing does not limit the *reply* subject a user names, so what is stored in a
 * stream is signed besides, and agents are isolated.
 */
export function natsPermissions(user: NatsUser): NatsPermissions {
  if (typeof user !== 'string') return agentPermissions(user.agent);
  if (user === 'client') return clientPermissions();
  const inbox = `${inboxPrefixOf(user)}.>`;
  const own = services[user]();
  return {
    publish: [...own.publish, ...eventsOf(user), ...asks(user)],
    subscribe: [inbox, ...serves(user), ...own.subscribe],
    allowResponses: user !== 'gateway',
  };
}

const services: Record<
  Exclude<ServiceName, 'agent'>,
  () => { publish: readonly string[]; subscribe: readonly string[] }
> = {
  scheduler: () => ({
    publish: [
      subjects.commandsAll(),
      ...consuming(consumers.schedulerProjection),
      ...consuming(consumers.schedulerMoves),
      ...provisioning(),
    ],
    subscribe: [subjects.register('*'), subjects.heartbeat('*')],
  }),
  audit: () => ({
    publish: [
      ...consuming(consumers.audit),
      // Where the stream ends tells what is missing from what has merely not come yet.
      `$JS.API.STREAM.INFO.${streams.events.name}`,
      subjects.logCheckpoint(),
    ],
    subscribe: [subjects.watermark('*')],
  }),
  secrets: () => ({ publish: apiForServices.secrets.map(apiSubject), subscribe: [subjects.grant('*')] }),
  gateway: () => ({
    publish: [...apiNames.map(apiSubject), subjects.agentLogs('*'), ...tailing(streams.events.name)],
    subscribe: [],
  }),
};

function agentPermissions(host: string): NatsPermissions {
  return {
    publish: [
      subjects.register(host),
      subjects.heartbeat(host),
      subjects.grant(host),
      subjects.watermark(host),
      ...eventsOf('agent'),
      ...consuming(consumers.agentCommands(host)),
    ],
    subscribe: [`${inboxPrefixOf(natsUserName({ agent: host }))}.>`, subjects.agentLogs(host)],
    allowResponses: true,
    isolated: true,
  };
}

/** `_INBOX.>` besides their own, because a stock client uses that; no other user may read it. */
const clientPermissions = (): NatsPermissions => ({
  publish: apiNames.map(apiSubject),
  subscribe: ['_INBOX.>', `${inboxPrefixOf('client')}.>`],
  allowResponses: false,
});

/** `fleet.v1.evt.<entity>.*.<what>` of each event the service makes. */
function eventsOf(service: ServiceName): string[] {
  return (Object.keys(eventProducers) as EventTypeName[])
    .filter((type) => eventProducers[type].includes(service))
    .map((type) => {
      const { entity, what } = eventTypeParts(type);
      // A subject function takes no wildcard for the id, which is right for all but permissions.
      return subjects.event(entity, 'ID', what).replace('.ID.', '.*.');
    });
}

const serves = (service: ServiceName): string[] => [
  ...apiNames.filter((name) => api[name].service === service).map(apiSubject),
  ...internalRequests.filter(({ server }) => server === service).map(({ subject }) => subject),
];

const asks = (service: ServiceName): string[] =>
  internalRequests
    .filter(({ clients }) => (clients as readonly string[]).includes(service))
    .map(({ subject }) => subject);

/** JetStream's own subjects for pulling a durable consumer that exists, and its dead letters. */
const consuming = ({ stream, durable }: ConsumerSpec): string[] => [
  `$JS.API.CONSUMER.INFO.${stream}.${durable}`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`,
  `$JS.ACK.${stream}.${durable}.>`,
  subjects.deadLetter(durable),
];

/**
 * For ordered consumers, whose names are made up. They could also name a durable of the stream; messages taken that way
 * come again, because there is no right to acknowledge them.
 */
const tailing = (stream: string): string[] => [
  `$JS.API.STREAM.INFO.${stream}`,
  `$JS.API.CONSUMER.CREATE.${stream}.*.${subjects.eventsAll()}`,
  `$JS.API.CONSUMER.INFO.${stream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
];

/**
 * The scheduler makes the streams and every consumer, and deletes those of hosts that were removed. Nothing else may be
 * deleted, and nothing purged, by anybody.
 */
const provisioning = (): string[] => [
  ...Object.values(streams).flatMap(({ name }) =>
    ['INFO', 'CREATE', 'UPDATE'].map((verb) => `$JS.API.STREAM.${verb}.${name}`),
  ),
  ...[consumers.audit, consumers.schedulerProjection, consumers.schedulerMoves].flatMap(creating),
  ...creating({ ...consumers.agentCommands('host'), durable: '*', filter: subjects.commandsAll() }),
  `$JS.API.CONSUMER.LIST.${streams.commands.name}`,
  `$JS.API.CONSUMER.DELETE.${streams.commands.name}.*`,
];

const creating = ({ stream, durable, filter }: ConsumerSpec): string[] => [
  `$JS.API.CONSUMER.INFO.${stream}.${durable}`,
  `$JS.API.CONSUMER.CREATE.${stream}.${durable}.${filter}`,
];
