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

/** The text of a nats-server configuration file. Throws for values that cannot be written safely. */
export function natsServerConfig(config: NatsServerConfig): string {
  const { host = '127.0.0.1', storeBytesMax = store_bytes_default, syncAlways = false } = config;
  const names = new Set(config.users.map(({ user }) => user));
  if (names.size !== config.users.length) throw new Error('Give each NATS user once.');
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
    `  FLEET {`,
    `    jetstream: enabled`,
    `    users: [`,
    ...config.users.flatMap(userLines),
    `    ]`,
    `  }`,
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
