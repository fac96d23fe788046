export {
  askWatermark,
  type AskWatermark,
  type WatermarkAsker,
  type WatermarkQuestion,
  type Watermarks,
} from './confirmation/ask-watermark.js';
export {
  ConfirmationLoop,
  type ConfirmationLogger,
  type ConfirmationOptions,
  type ConfirmationStatus,
  type KeptEvents,
  type KeptIncarnation,
} from './confirmation/confirmation.loop.js';
export { eventRelayPorts, type EventRelayOptions } from './confirmation/event-relay.ports.js';
export { backoffMs, inboxPrefixOf, type ConnectOptions } from './connection.js';
export type { OutgoingMessage, PublishAllOptions, PublishOutcome, Stored } from './durable-publisher.js';
export * from './events.js';
export { header, type Headers } from './headers.js';
export { CombinedServer } from './combined.server.js';
export { Consume } from './jetstream/consume.decorator.js';
export { Poison, type Delivery } from './jetstream/delivery.js';
export type { ConsumerOptions } from './jetstream/consumer-worker.js';
export { consumerPlace, type ConsumerPlace } from './jetstream/consumer-place.js';
export { deadLetterHeaders } from './jetstream/dead-letters.js';
export { JetStreamServer, type JetStreamServerOptions } from './jetstream/jetstream.server.js';
export { encodeJson, parseBody } from './json-body.js';
export { connectMessaging, Messaging, type ConnectionState } from './messaging.js';
export { MessagingModule, type MessagingAsyncOptions } from './messaging.module.js';
export { eventProducers, type ServiceName } from './permissions/event-producers.js';
export {
  natsPermissions,
  natsUserName,
  type NatsPermissions,
  type NatsUser,
} from './permissions/nats-permissions.js';
export {
  natsServerConfig,
  type NatsServerConfig,
  type NatsUserConfig,
} from './permissions/nats-server-config.js';
export { IncompatibleProvisioning, provision, removeConsumer, type ProvisionRequest } from './provision.js';
export { UntrustedAnswer, type RawReply, type RawRequestOptions, type RequestOptions } from './request.js';
export { Api, Request, type HandlerOptions } from './request-reply/request.decorator.js';
export { RequestContext, SignedReply } from './request-reply/request-context.js';
export { RequestReplyServer, type RequestReplyOptions } from './request-reply/request-reply.server.js';
export { SealingKey, seal } from './signing/sealing-key.js';
export { events_per_signature_max } from './signing/batch-signature.js';
export { isOfVerifiedBatch, verifyEventSignature, verifySignature } from './signing/signature.js';
export { SigningKey } from './signing/signing-key.js';
export { signToken, verifyToken, type TokenOptions, type VerifyTokenOptions } from './signing/token.js';
export type { StopTail, TailedMessage, TailHandler, TailOptions } from './tail.js';
export { JETSTREAM, REQUEST_REPLY } from './transports.js';
