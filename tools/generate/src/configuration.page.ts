import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { AgentConfig } from '../../../services/agent/src/agent.config.js';
import { AuditConfig } from '../../../services/audit/src/audit.config.js';
import { GatewaySettings } from '../../../services/gateway/src/gateway.config.js';
import { SchedulerConfig } from '../../../services/scheduler/src/scheduler.config.js';
import { SecretsConfig } from '../../../services/secrets/src/secrets.config.js';
import { code, page, table } from './markdown.js';
import { settingSources, type SettingSource } from './setting.sources.js';

/** Each service, its schema, and the files that declare its fields. */
const services: readonly {
  readonly name: string;
  readonly schema: z.ZodObject;
  readonly files: readonly string[];
}[] = [
  {
    name: 'scheduler',
    schema: SchedulerConfig,
    files: ['services/scheduler/src/scheduler.config.ts', 'services/scheduler/src/runtime.settings.ts'],
  },
  { name: 'agent', schema: AgentConfig, files: ['services/agent/src/agent.config.ts'] },
  { name: 'audit', schema: AuditConfig, files: ['services/audit/src/audit.config.ts'] },
  { name: 'secrets', schema: SecretsConfig, files: ['services/secrets/src/secrets.config.ts'] },
  { name: 'gateway', schema: GatewaySettings, files: ['services/gateway/src/gateway.config.ts'] },
];

/** docs/generated/configuration.md */
export function configurationPage(root: string): string {
  return page(
    'Configuration',
    'the `*.config.ts` of each service',
    'Each setting is an environment variable. `<VARIABLE>_FILE` names a file that holds the value instead; a secret should come that way, and its file must be readable by its owner only (mode 0600). Lists are separated by commas, objects are JSON. Variables that begin with `TRADEFLEET_` and are none of these are refused at the start (exit code 78), with the nearest name there is.',
    'Besides these every service understands `OTEL_EXPORTER_OTLP_ENDPOINT`: telemetry is off without it.',
    ...services.flatMap(({ name, schema, files }) => {
      const sources = settingSources(files.map((file) => readFileSync(join(root, file), 'utf8')));
      const rows = Object.entries(schema.shape).map(([key, field]) =>
        settingRow(key, field as z.ZodType, sources.get(key)),
      );
      return [`## ${name}`, table(['variable', 'type', 'default', 'secret', 'meaning'], rows)];
    }),
  );
}

function settingRow(key: string, field: z.ZodType, source: SettingSource | undefined): string[] {
  if (source === undefined)
    throw new Error(`The setting ${key} is not declared in the files named for its service`);
  const schema = z.toJSONSchema(field, { io: 'input', unrepresentable: 'any', reused: 'inline' });
  const required = !field.safeParse(undefined).success;
  return [
    code(variableOf(key)),
    typeOf(schema),
    required ? 'required' : schema.default === undefined ? 'none' : code(defaultText(schema.default)),
    source.secret ? 'yes' : '',
    source.comment === '' ? (meanings[key] ?? '') : source.comment,
  ];
}

/** Of settings that every service has, where the source says nothing. */
const meanings: Readonly<Record<string, string>> = {
  natsUser: "The service's own user at NATS.",
  natsPassword: 'Of that user.',
  logLevel: 'What is less important than this is not logged.',
};

/** As libs/config derives it: `natsUrl` -> `TRADEFLEET_NATS_URL`. */
const variableOf = (key: string): string =>
  `TRADEFLEET_${key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()}`;

const defaultText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** In the words of somebody who sets it. */
function typeOf(schema: JsonSchema): string {
  if (schema.$ref !== undefined) return typeOf(definitionOf(schema));
  if (schema.enum !== undefined) return schema.enum.map((value) => code(String(value))).join(', ');
  const { type, minimum, maximum } = schema;
  if (type === 'integer' || type === 'number') {
    const bounded = (limit: number | undefined) =>
      limit !== undefined && Math.abs(limit) < Number.MAX_SAFE_INTEGER;
    const range = [bounded(minimum) ? `from ${minimum}` : '', bounded(maximum) ? `to ${maximum}` : ''];
    return [type === 'integer' ? 'whole number' : 'number', ...range].filter((part) => part !== '').join(' ');
  }
  if (type === 'array') return 'list';
  if (type === 'object') return 'JSON object';
  if (type === 'boolean') return '`true` or `false`';
  return type === 'string' ? 'text' : 'JSON';
}

function definitionOf(schema: JsonSchema): JsonSchema {
  const name = schema.$ref?.slice(schema.$ref.lastIndexOf('/') + 1) ?? '';
  const definition = schema.$defs?.[name];
  if (typeof definition !== 'object') throw new Error(`No definition of ${name}`);
  return definition;
}
