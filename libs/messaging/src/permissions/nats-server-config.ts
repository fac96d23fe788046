import type { NatsPermissions } from './nats-permissions.js';

export interface NatsUserConfig {
  readonly user: string;
  /** In the clear, or as bcrypt (`$2a$...`). The file must be readable by its owner only. */
  readonly password: string;
  readonly permissions: NatsPermissions;
}

export interface NatsServerConfig {
  readonly host?: string;
  readonly port: number;
  readonly serverName?: string;
  /** Directory of JetStream's files. */
  readonly storeDir: string;
  /** Largest size of JetStream's files, bytes; default 6 GiB, room for every stream's own bound. */
  readonly storeBytesMax?: number;
  /** Forces every message to disk before it is acknowledged; slower, and safe against power failure. Default false. */
  readonly syncAlways?: boolean;
  /** Port of the monitoring endpoint on the same host; none without it. */
  readonly monitorPort?: number;
  readonly users: readonly NatsUserConfig[];
}

const gib = 1024 ** 3;
const store_bytes_default = 6 * gib;
const memory_bytes_max = 64 * 1024 ** 2;
/** Above `limits.message_bytes_max`, so that a body that is too large is answered with a problem, not by a hang-up. */
const payload_bytes_max = 1024 ** 2;
const connections_max = 4096;
const control_line_bytes_max = 4096;
const fleetAccount = 'FLEET';
const pullPrefix = '$JS.API.CONSUMER.MSG.NEXT.';
/**
 * The server gives every account the whole API of its own JetStream, be there one or not, unless the account imports
 * this from another: only then do requests reach the other's. No isolated user may publish on it.
 */
const accountInfo = '$JS.API.INFO';

/** The text of a nats-server configuration file. Throws for values that cannot be written safely. */
export function natsServerConfig(config: NatsServerConfig): string {
  const { host = '127.0.0.1', storeBytesMax = store_bytes_default, syncAlways = false } = config;
  const names = new Set(config.users.map(({ user }) => user));
  if (names.size !== config.users.length) throw new Error('Give each NATS user once.');
  const isolated = config.users.filter(({ permissions }) => permissions.isolated === true);
  return [
    `host: ${quoted(host)}`,
    `port: ${integer(config.port)}`,
    ...(config.serverName === undefined ? [] : [`server_name: ${quoted(config.serverName)}`]),
    ...(config.monitorPort === undefined
      ? []
      : [`http: ${quoted(`${host}:${integer(config.monitorPort)}`)}`]),
    `max_payload: ${payload_bytes_max}`,
    `max_connections: ${connections_max}`,
    `max_control_line: ${control_line_bytes_max}`,
    `jetstream {`,
    `  store_dir: ${quoted(config.storeDir)}`,
    `  max_file_store: ${integer(storeBytesMax)}`,
    `  max_memory_store: ${memory_bytes_max}`,
    ...(syncAlways ? [`  sync_interval: always`] : []),
    `}`,
    `accounts {`,
    `  ${fleetAccount} {`,
    `    jetstream: enabled`,
    `    users: [`,
    ...config.users.filter((user) => !isolated.includes(user)).flatMap(userLines),
    `    ]`,
    ...exchangeLines(
      [...new Set(isolated.flatMap(asked))].map((subject) => ({
        subject,
        to: isolated.filter((user) => asked(user).includes(subject)).map(({ user }) => user),
      })),
      isolated.flatMap(({ user, permissions }) =>
        served(permissions).map((subject) => ({ subject, from: user })),
      ),
    ),
    `  }`,
    ...isolated.flatMap(isolatedAccountLines),
    `  SYS {}`,
    `}`,
    `system_account: SYS`,
    ``,
  ].join('\n');
}

function userLines({ user, password, permissions }: NatsUserConfig): string[] {
  const list = (values: readonly string[]): string => `{ allow: [${values.map(quoted).join(', ')}] }`;
  return [
    `      {`,
    `        user: ${quoted(user)}`,
    `        password: ${quoted(password)}`,
    `        permissions {`,
    `          publish: ${list(permissions.publish)}`,
    `          subscribe: ${list(permissions.subscribe)}`,
    ...(permissions.allowResponses ? [`          allow_responses: { max: 1, expires: "2m" }`] : []),
    `        }`,
    `      }`,
  ];
}

/** The account of one isolated user: it imports what the user publishes on and exports what it serves. */
function isolatedAccountLines(user: NatsUserConfig): string[] {
  return [
    `  ${quoted(user.user)} {`,
    `    users: [`,
    ...userLines(user),
    `    ]`,
    ...exchangeLines(
      served(user.permissions).map((subject) => ({ subject, to: [fleetAccount] })),
      asked(user).map((subject) => ({ subject, from: fleetAccount })),
    ),
    `  }`,
  ];
}

/** What an isolated user asks the fleet. */
const asked = ({ permissions }: NatsUserConfig): string[] => [accountInfo, ...permissions.publish];

/** What a user answers requests on: all it may subscribe to but inboxes, which no account shares. */
const served = ({ subscribe }: NatsPermissions): string[] =>
  subscribe.filter((subject) => !subject.startsWith('_INBOX'));

/** What an account lets others use, and what it uses of others. Services: whoever asks gets the answers, nobody else. */
function exchangeLines(
  exports: readonly { readonly subject: string; readonly to: readonly string[] }[],
  imports: readonly { readonly subject: string; readonly from: string }[],
): string[] {
  if (exports.length === 0 && imports.length === 0) return [];
  return [
    `    exports: [`,
    ...exports.map(({ subject, to }) => {
      // One pull is answered by many messages.
      const response = subject.startsWith(pullPrefix) ? ', response: "Stream"' : '';
      return `      { service: ${quoted(subject)}, accounts: [${to.map(quoted).join(', ')}]${response} }`;
    }),
    `    ]`,
    `    imports: [`,
    ...imports.map(
      ({ subject, from }) => `      { service: { account: ${quoted(from)}, subject: ${quoted(subject)} } }`,
    ),
    `    ]`,
  ];
}

/**
 * A string of the configuration language: double quotes, backslash escapes. Within quotes it expands no variables;
 * control characters have no safe form, so they are refused.
 */
function quoted(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new Error('A value for the NATS configuration has control characters.');
  return `"${text.replace(/["\\]/g, (character) => `\\${character}`)}"`;
}

function integer(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${value} is no whole number.`);
  return value;
}
