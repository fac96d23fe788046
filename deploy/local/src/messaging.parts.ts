/**
 * What the launcher needs of libs/messaging. Its index would bring the whole of Nest with it: 30 MB in a process that
 * stays as long as the fleet does.
 */
export {
  natsPermissions,
  natsUserName,
  type NatsUser,
} from '../../../libs/messaging/src/permissions/nats-permissions.js';
export { natsServerConfig } from '../../../libs/messaging/src/permissions/nats-server-config.js';
export { SigningKey } from '../../../libs/messaging/src/signing/signing-key.js';
