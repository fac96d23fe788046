import { z } from 'zod';
import { Name } from './names.js';

/**
 * Every subject of the fleet. A subject is only ever made here; each function is commented with its literal.
 * Parts are checked: what is not a single safe token throws.
 */
const Token = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
const token = (value: string): string => Token.parse(value);
const host = (value: string): string => (value === '*' ? '*' : Name.parse(value));

export const subjects = {
  /** `fleet.v1.api.<entity>.<verb>`: request/reply in plain JSON, for clients. */
  api: (entity: string, verb: string) => `fleet.v1.api.${token(entity)}.${token(verb)}`,
  /** `fleet.v1.api.>` */
  apiAll: () => 'fleet.v1.api.>',

  /** `fleet.v1.host.<host>.cmd.<verb>`: signed commands to one host, on the stream COMMANDS. */
  command: (hostName: string, verb: string) => `fleet.v1.host.${Name.parse(hostName)}.cmd.${token(verb)}`,
  /** `fleet.v1.host.<host>.cmd.>`: what one agent consumes. */
  hostCommands: (hostName: string) => `fleet.v1.host.${Name.parse(hostName)}.cmd.>`,
  /** `fleet.v1.host.*.cmd.>`: the whole stream. */
  commandsAll: () => 'fleet.v1.host.*.cmd.>',

  /** `fleet.v1.agent.<host>.register`: request of an agent to the scheduler; `*` to serve all. */
  register: (hostName: string) => `fleet.v1.agent.${host(hostName)}.register`,
  /** `fleet.v1.agent.<host>.heartbeat`: observed state up, leases down; `*` to serve all. */
  heartbeat: (hostName: string) => `fleet.v1.agent.${host(hostName)}.heartbeat`,
  /** `fleet.v1.agent.<host>.grant`: request of an agent to the secrets service; `*` to serve all. */
  grant: (hostName: string) => `fleet.v1.agent.${host(hostName)}.grant`,
  /** `fleet.v1.agent.<host>.watermark`: request of an agent to the audit service; `*` to serve all. */
  watermark: (hostName: string) => `fleet.v1.agent.${host(hostName)}.watermark`,

  /** `fleet.v1.agent.<host>.logs`: request to one agent for the last log lines of an allocation. */
  agentLogs: (hostName: string) => `fleet.v1.agent.${host(hostName)}.logs`,

  /** `fleet.v1.internal.<entity>.<verb>`: between services; closed to clients and agents. */
  internal: (entity: string, verb: string) => `fleet.v1.internal.${token(entity)}.${token(verb)}`,

  /** `fleet.v1.evt.<entity>.<id>.<what>`: events, on the stream EVENTS. */
  event: (entity: string, id: string, what: string) =>
    `fleet.v1.evt.${token(entity)}.${token(id)}.${token(what)}`,
  /** `fleet.v1.evt.>` */
  eventsAll: () => 'fleet.v1.evt.>',
  /** `fleet.v1.evt.<entity>.>` */
  eventsOf: (entity: string) => `fleet.v1.evt.${token(entity)}.>`,

  /** `fleet.v1.log.checkpoint`: signed checkpoints of the audit log, on the stream CHECKPOINTS. */
  logCheckpoint: () => 'fleet.v1.log.checkpoint',

  /** `fleet.v1.dead.<consumer>`: messages that were given up, with the reason, on the stream DEAD_LETTERS. */
  deadLetter: (consumer: string) => `fleet.v1.dead.${token(consumer)}`,
  /** `fleet.v1.dead.>` */
  deadLettersAll: () => 'fleet.v1.dead.>',
};
