import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '#libs/contracts';
import { SealingKey, SigningKey } from '#libs/messaging';

/** Who this agent is. The keys stay with the state directory; the incarnation is new at each start. */
export class Identity {
  constructor(
    readonly host: string,
    readonly incarnation: string,
    readonly signingKey: SigningKey,
    readonly sealingKey: SealingKey,
  ) {}

  /** Actor of what the host does of its own accord. */
  get actor(): string {
    return `host:${this.host}`;
  }

  /** `ce-source` of its events. */
  get source(): string {
    return `/agent/${this.host}`;
  }

  /** Reads the keys of the state directory; makes directory and keys at the first start. */
  static async load(host: string, stateDir: string): Promise<Identity> {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await chmod(stateDir, 0o700);
    const signingKey = await SigningKey.fromFile(join(stateDir, 'signing-key.jwk'), { create: true });
    const sealingKey = await SealingKey.fromFile(join(stateDir, 'sealing-key.jwk'), { create: true });
    return new Identity(host, newId(), signingKey, sealingKey);
  }
}
