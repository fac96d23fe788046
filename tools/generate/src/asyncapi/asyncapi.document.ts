import {
  AllocationCheck,
  AllocationChecked,
  api,
  type ApiName,
  apiNames,
  apiSubject,
  type ApiOperation,
  eventTypeParts,
  type EventTypeName,
  eventTypes,
  Grant,
  GrantRequest,
  Heartbeat,
  HeartbeatAck,
  HostRegister,
  HostRegistered,
  LogsReply,
  LogsRequest,
  Reply,
  PrepareCommand,
  StartCommand,
  StopCommand,
  streams,
  subjects,
  WatermarkAnswer,
  WatermarkRequest,
} from '#libs/contracts';
import { eventProducers } from '#libs/messaging';
import type { z } from 'zod';
import { ComponentSchemas, type Json } from '../../../../services/gateway/src/openapi/component.schemas.js';
import {
  commandHeaders,
  deadLetterHeadersSchema,
  eventHeadersSchema,
  requestHeaders,
  signedHeaders,
} from './headers.js';

/** Who sends and who serves one request. */
interface Request {
  readonly id: string;
  readonly address: string;
  readonly summary: string;
  readonly from: string;
  readonly to: string;
  readonly request: z.ZodType;
  readonly response: z.ZodType;
  readonly headers: Json;
}

/**
 * Everything that goes over NATS, as AsyncAPI 3.0 made from the contracts: requests of clients and agents with their
 * replies, commands, events and dead letters. Told from the side of the control plane (scheduler, audit, secrets,
 * gateway): it receives requests and agents' events, and sends commands and events of its own.
 */
export function asyncApiDocument(): Json {
  const document = new Channels(new ComponentSchemas('draft-7'));
  for (const request of [...apiNames.map(apiRequest), ...agentRequests, ...internalRequests])
    document.request(request);
  document.commands();
  for (const type of Object.keys(eventTypes) as EventTypeName[]) document.event(type);
  document.deadLetters();
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Tradefleet over NATS',
      version: '1',
      description:
        'Requests are plain JSON; the answer is `{"ok":true,"result":...}` or `{"ok":false,"problem":...}`, so that any NATS client can send one. Commands, heartbeats and what agents publish are signed (EdDSA). Who may publish and subscribe what is in subjects.md.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      local: {
        host: '127.0.0.1:4222',
        protocol: 'nats',
        description: 'The port of the local fleet is in .tradefleet/fleet.json.',
        security: [{ $ref: '#/components/securitySchemes/user' }],
      },
    },
    ...document.parts(),
  };
}

/** Gathers channels, operations and messages of the document. */
class Channels {
  private readonly channels: Json = {};
  private readonly operations: Json = {};
  private readonly messages: Json = {};

  constructor(private readonly schemas: ComponentSchemas) {}

  parts(): Json {
    return {
      channels: this.channels,
      operations: this.operations,
      components: {
        messages: this.messages,
        schemas: this.schemas.components(),
        securitySchemes: {
          user: {
            type: 'userPassword',
            description: 'One user a service and a host; clients share `client`.',
          },
        },
      },
    };
  }

  request({ id, address, summary, from, to, request, response, headers }: Request): void {
    const asked = this.message(
      `${id}.request`,
      `Request: ${summary}`,
      this.schemas.of(request, 'input'),
      headers,
    );
    const answered = this.message(
      `${id}.reply`,
      `Answer: ${summary}`,
      this.schemas.of(Reply(response), 'output'),
    );
    this.channel(id, address, asked, `Sent by ${from}, answered by ${to}.`);
    this.channels[`${id}.reply`] = {
      address: null,
      description: "The reply subject that the request names, in the asker's own inbox.",
      messages: { [answered]: { $ref: `#/components/messages/${answered}` } },
    };
    this.operations[id] = {
      action: 'receive',
      summary,
      channel: { $ref: `#/channels/${id}` },
      messages: [{ $ref: `#/channels/${id}/messages/${asked}` }],
      reply: {
        channel: { $ref: `#/channels/${id}.reply` },
        messages: [{ $ref: `#/channels/${id}.reply/messages/${answered}` }],
      },
      bindings: { nats: { queue: to, bindingVersion: '0.1.0' } },
    };
  }

  commands(): void {
    for (const [verb, schema, what] of [
      ['start', StartCommand, 'start an allocation'],
      ['stop', StopCommand, 'stop an allocation'],
      ['prepare', PrepareCommand, 'prepare for a bot that is to move there'],
    ] as const) {
      const id = `command.${verb}`;
      const payload = this.schemas.of(schema, 'output');
      const message = this.message(id, `Command: ${what}`, payload, commandHeaders);
      const address = subjects.command('host', verb).replace('.host.host.', '.host.{host}.');
      this.channel(
        id,
        address,
        message,
        `On the stream ${streams.commands.name}; one durable consumer a host.`,
      );
      this.send(id, `Tell a host to ${what}`, message);
    }
  }

  event(type: EventTypeName): void {
    const { entity, what } = eventTypeParts(type);
    const id = `event.${entity}.${what}`;
    const { severity, data } = eventTypes[type];
    const message = this.message(
      id,
      `${type} (${severity})`,
      this.schemas.of(data, 'output'),
      eventHeadersSchema(type),
    );
    const address = subjects.event(entity, 'ID', what).replace('.ID.', '.{id}.');
    const producers = eventProducers[type];
    this.channel(
      id,
      address,
      message,
      `On the stream ${streams.events.name}. Published by ${producers.join(', ')}.`,
    );
    if (producers.some((service) => service !== 'agent')) this.send(id, type, message);
    if (producers.includes('agent'))
      this.operations[`${id}.fromAgent`] = {
        action: 'receive',
        summary: `${type}, from an agent`,
        channel: { $ref: `#/channels/${id}` },
        messages: [{ $ref: `#/channels/${id}/messages/${message}` }],
      };
  }

  deadLetters(): void {
    const message = this.message(
      'deadLetter',
      'A message that was given up',
      { description: 'The body as it was received.' },
      deadLetterHeadersSchema,
    );
    const address = subjects.deadLetter('CONSUMER').replace('CONSUMER', '{consumer}');
    this.channel(
      'deadLetter',
      address,
      message,
      `On the stream ${streams.deadLetters.name}, for a person to look at.`,
    );
    this.send('deadLetter', 'Give up a message', message);
  }

  private send(id: string, summary: string, message: string): void {
    this.operations[id] = {
      action: 'send',
      summary,
      channel: { $ref: `#/channels/${id}` },
      messages: [{ $ref: `#/channels/${id}/messages/${message}` }],
    };
  }

  private channel(id: string, address: string, message: string, description: string): void {
    const parameters = [...address.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => [
      name,
      { description: meanings[name] },
    ]);
    this.channels[id] = {
      address,
      description,
      messages: { [message]: { $ref: `#/components/messages/${message}` } },
      ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters) as Json }),
    };
  }

  /** Answers with the message's name. */
  private message(name: string, title: string, payload: Json, headers?: Json): string {
    this.messages[name] = {
      name,
      title,
      contentType: 'application/json',
      ...(headers === undefined ? {} : { headers }),
      payload,
    };
    return name;
  }
}

const meanings: Record<string, string> = {
  host: 'Name of the host.',
  id: 'Name or id of the entity.',
  consumer: 'Durable consumer that gave the message up.',
};

function apiRequest(name: ApiName): Request {
  const { summary, service, request, response } = api[name] as ApiOperation;
  return {
    id: `api.${name}`,
    address: apiSubject(name),
    summary,
    from: 'client or gateway',
    to: service,
    request,
    response,
    headers: requestHeaders,
  };
}

const ofHost = (make: (host: string) => string): string => make('*').replace('.*.', '.{host}.');

const agentRequests: readonly Request[] = [
  {
    id: 'agent.register',
    address: ofHost(subjects.register),
    summary: 'An agent makes its host known',
    from: 'agent',
    to: 'scheduler',
    request: HostRegister,
    response: HostRegistered,
    headers: signedHeaders,
  },
  {
    id: 'agent.heartbeat',
    address: ofHost(subjects.heartbeat),
    summary: 'Observed state up, lease renewals down',
    from: 'agent',
    to: 'scheduler',
    request: Heartbeat,
    response: HeartbeatAck,
    headers: signedHeaders,
  },
  {
    // Not signed: the scheduler's token in it is the proof, and only the host can open the answer.
    id: 'agent.grant',
    address: ofHost(subjects.grant),
    summary: 'Short-lived credentials for one allocation',
    from: 'agent',
    to: 'secrets',
    request: GrantRequest,
    response: Grant,
    headers: requestHeaders,
  },
  {
    id: 'agent.logs',
    address: ofHost((host) => subjects.agentLogs(host === '*' ? 'host' : host)).replace('.host.', '.{host}.'),
    summary: "The last lines of an allocation's output",
    from: 'gateway',
    to: 'agent',
    request: LogsRequest,
    response: LogsReply,
    headers: requestHeaders,
  },
  {
    id: 'agent.watermark',
    address: ofHost(subjects.watermark),
    summary: "How far a host's events are recorded",
    from: 'agent',
    to: 'audit',
    request: WatermarkRequest,
    response: WatermarkAnswer,
    headers: signedHeaders,
  },
];

const internalRequests: readonly Request[] = [
  {
    id: 'internal.audit.watermark',
    address: subjects.internal('audit', 'watermark'),
    summary: "How far a service's events are recorded",
    from: 'scheduler, secrets, gateway',
    to: 'audit',
    request: WatermarkRequest,
    response: WatermarkAnswer,
    headers: signedHeaders,
  },
  {
    id: 'internal.allocations.check',
    address: subjects.internal('allocations', 'check'),
    summary: 'Is the allocation live under this epoch, now?',
    from: 'secrets',
    to: 'scheduler',
    request: AllocationCheck,
    response: AllocationChecked,
    headers: requestHeaders,
  },
];
