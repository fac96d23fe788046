import type { PublicJwk } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import {
  checkpointText,
  NoteInvalid,
  openNote,
  parseCheckpoint,
  signNote,
  verifierKey,
  type Checkpoint,
} from '#libs/tlog';

/** DI token. */
export const LOG_KEY = Symbol('LogKey');

/** Signs checkpoints, and knows its own. */
export class LogKey {
  private readonly signer: ReturnType<SigningKey['rawSigner']>;

  private constructor(
    private readonly key: SigningKey,
    /** Names the log and the key in notes. */
    readonly origin: string,
  ) {
    this.signer = key.rawSigner();
  }

  /** Makes the key file at the first start. */
  static async fromFile(path: string, origin: string): Promise<LogKey> {
    return new LogKey(await SigningKey.fromFile(path, { create: true }), origin);
  }

  get publicJwk(): PublicJwk {
    return this.key.publicJwk;
  }

  get verifierKey(): string {
    return verifierKey(this.origin, this.signer.publicKey);
  }

  sign(size: number, root: Buffer): string {
    return signNote(checkpointText({ origin: this.origin, size, root }), this.origin, this.signer);
  }

  /** Ed25519 over bytes that are no checkpoint, base64. */
  signStatement(bytes: Uint8Array): string {
    return this.signer.sign(bytes).toString('base64');
  }

  /** Null when this key has not signed it for this log. */
  open(note: string): Checkpoint | null {
    try {
      const checkpoint = parseCheckpoint(openNote(note, this.origin, this.signer.publicKey));
      return checkpoint.origin === this.origin ? checkpoint : null;
    } catch (error) {
      if (error instanceof NoteInvalid) return null;
      throw error;
    }
  }
}
