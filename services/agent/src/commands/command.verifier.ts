import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import {
  Command,
  ProblemError,
  command_clock_skew_ms,
  limits,
  signatureHeader,
  type PublicJwk,
} from '#libs/contracts';
import { header, verifySignature, type Headers } from '#libs/messaging';
import { SCHEDULER_KEYS } from '../heartbeats/signed-exchange.js';
import { Identity } from '../identity/identity.js';

/** A command as it came. */
export interface ReceivedCommand {
  readonly bytes: Uint8Array;
  readonly headers: Headers;
}

/**
 * Whether a message is a command that this host should obey. The subject it came on says nothing: whoever may
 * publish anything at all can make the server write into another subject.
 */
@Injectable()
export class CommandVerifier {
  constructor(
    private readonly identity: Identity,
    @Inject(SCHEDULER_KEYS) private readonly schedulerKeys: readonly PublicJwk[],
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * In this order: size, signature over the exact bytes, JSON, schema, host, expiry. The epoch is checked where the
   * command is recorded, in the same transaction.
   * @throws ProblemError payload_too_large, bad_signature, malformed_json, invalid_request, wrong_host, command_expired
   */
  async verify({ bytes, headers }: ReceivedCommand): Promise<Command> {
    if (bytes.byteLength > limits.message_bytes_max) {
      throw new ProblemError('payload_too_large', `A command has at most ${limits.message_bytes_max} bytes.`);
    }
    await verifySignature(bytes, header(headers, signatureHeader), this.schedulerKeys);
    const command = parseCommand(bytes);
    if (command.host !== this.identity.host) {
      throw new ProblemError(
        'wrong_host',
        `The command is for host ${command.host}, not ${this.identity.host}.`,
      );
    }
    if (this.clock.wallMs() > Date.parse(command.expiresAt) + command_clock_skew_ms) {
      throw new ProblemError('command_expired', `The command was good until ${command.expiresAt}.`);
    }
    return command;
  }
}

function parseCommand(bytes: Uint8Array): Command {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new ProblemError('malformed_json', 'A command is one JSON object.');
  }
  const command = Command.safeParse(value);
  if (!command.success) throw ProblemError.fromZod(command.error, 'the command');
  return command.data;
}
