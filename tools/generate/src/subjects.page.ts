import { consumers, type ConsumerSpec, streams, type StreamSpec } from '#libs/contracts';
import { natsPermissions, type NatsUser } from '#libs/messaging';
import { code, codes, page, table } from './markdown.js';

/** A host whose name is nothing else; shown as `<host>`. */
const host = 'any-host-at-all';
const users: readonly { readonly name: string; readonly user: NatsUser }[] = [
  ...(['scheduler', 'audit', 'secrets', 'gateway', 'client'] as const).map((user) => ({ name: user, user })),
  { name: 'agent-<host>', user: { agent: host } },
];
const permissions = users.map(({ name, user }) => ({ name, ...natsPermissions(user) }));

/** docs/generated/subjects.md */
export function subjectsPage(): string {
  return page(
    'Subjects: who publishes, who consumes',
    'libs/messaging/src/permissions and libs/contracts/src/streams.ts',
    'These lists are the permissions that nats-server enforces: what is not named is refused. Services of requests may also answer the reply subject of a request, once.',
    '## Subjects of the fleet',
    table(['subject', 'publishes', 'subscribes or consumes'], subjectRows()),
    '## Streams',
    table(
      [
        'stream',
        'subjects',
        'retention',
        'kept at most',
        'size at most',
        'message at most',
        'duplicates found within',
      ],
      Object.values<StreamSpec>(streams).map(streamRow),
    ),
    '## Durable consumers',
    table(
      ['consumer', 'stream', 'filter', 'settled within', 'deliveries', 'unsettled at most'],
      durables.map(consumerRow),
    ),
    '## Rights at JetStream and inboxes',
    table(
      ['user', 'publishes', 'subscribes'],
      permissions.map(({ name, publish, subscribe }) => [
        code(name),
        codes(publish.filter(isPlumbing).map(shown)),
        codes(subscribe.filter(isPlumbing).map(shown)),
      ]),
    ),
  );
}

const durables = [
  consumers.agentCommands(host),
  consumers.schedulerProjection,
  consumers.schedulerMoves,
  consumers.audit,
];
const isPlumbing = (subject: string): boolean => subject.startsWith('$') || subject.startsWith('_INBOX');
/** Any host: the one above, and what services may do for all. */
const shown = (subject: string): string =>
  subject.replaceAll(host, '<host>').replace(/^(fleet\.v1\.(?:agent|host))\.\*/, '$1.<host>');

function subjectRows(): string[][] {
  const all = new Set(
    permissions.flatMap(({ publish, subscribe }) => [...publish, ...subscribe]).filter((s) => !isPlumbing(s)),
  );
  return [...all]
    .sort()
    .map(shown)
    .filter((subject, at, sorted) => sorted.indexOf(subject) === at)
    .map((subject) => [
      code(subject),
      who(subject, 'publish'),
      [who(subject, 'subscribe'), consuming(subject)].filter((part) => part !== '').join('; '),
    ]);
}

/** Users with a permission for exactly this subject, or for `*` where it has `<host>`. */
const who = (subject: string, right: 'publish' | 'subscribe'): string =>
  permissions
    .filter((one) => one[right].some((allowed) => shown(allowed) === subject))
    .map(({ name }) => name)
    .join(', ');

/** Durable consumers whose filter takes messages of this subject. */
function consuming(subject: string): string {
  const taking = durables
    .filter(({ filter }) => overlaps(filter, subject.replaceAll('<host>', '*')))
    .map(({ durable }) => `consumer ${code(shown(durable))}`);
  const live = overlaps('fleet.v1.evt.>', subject) ? ['gateway (live)'] : [];
  return [...taking, ...live].join(', ');
}

/** Whether some subject fits both patterns. */
function overlaps(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')];
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const [x, y] = [a[at], b[at]];
    if (x === '>' || y === '>') return true;
    if (x === undefined || y === undefined) return false;
    if (x !== y && x !== '*' && y !== '*') return false;
  }
  return true;
}

const streamRow = (stream: StreamSpec): string[] => [
  code(stream.name),
  codes(stream.subjects),
  stream.retention === 'workqueue' ? 'until settled' : 'limits',
  `${stream.max_age_ms / 86_400_000} days`,
  `${stream.max_bytes / 1024 ** 2} MiB`,
  `${stream.max_msg_bytes / 1024} KiB`,
  `${stream.duplicate_window_ms / 60_000} minutes`,
];

const consumerRow = (spec: ConsumerSpec): string[] => [
  code(shown(spec.durable)),
  code(spec.stream),
  code(shown(spec.filter)),
  `${spec.ack_wait_ms / 1000} s`,
  String(spec.deliveries_max),
  String(spec.unsettled_max),
];
