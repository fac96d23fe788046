import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

const nonce_bytes = 12;
const tag_bytes = 16;
export const subjectKey_bytes = 32;

/** A value was changed, moved to another place, or sealed under another key. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable';

  constructor(options?: ErrorOptions) {
    super('A sealed value does not open.', options);
  }
}

/**
 * The key of one person. Values are sealed with AES-256-GCM. The nonce is a PRF of place and value under a second key, so the
 * same event, delivered again, is sealed to the same bytes, and two different values never share a nonce but by a collision
 * of 96 bits. What it costs: that two equal values at the same place of the same event are equal, and no others can be.
 */
export class SubjectKey {
  private constructor(
    readonly id: string,
    private readonly sealing: KeyObject,
    private readonly nonces: KeyObject,
  ) {}

  /** Of 32 random bytes, which are overwritten. OpenSSL keeps what is derived from them, and clears it with the object. */
  static take(id: string, secret: Buffer): SubjectKey {
    const derived = (use: string): KeyObject => {
      const bytes = Buffer.from(hkdfSync('sha256', secret, '', `tradefleet-audit-${use}-v1`, 32));
      const key = createSecretKey(bytes);
      bytes.fill(0);
      return key;
    };
    try {
      return new SubjectKey(id, derived('sealing'), derived('nonces'));
    } finally {
      secret.fill(0);
    }
  }

  /** @param place what the value belongs to: a sealed value opens there and nowhere else */
  seal(value: string, place: string): Buffer {
    const bytes = Buffer.from(value, 'utf8');
    const additional = this.additional(place);
    const nonce = createHmac('sha256', this.nonces)
      .update(`${additional.length}\n`)
      .update(additional)
      .update(bytes)
      .digest()
      .subarray(0, nonce_bytes);
    const cipher = createCipheriv('aes-256-gcm', this.sealing, nonce, { authTagLength: tag_bytes });
    cipher.setAAD(additional);
    const body = Buffer.concat([cipher.update(bytes), cipher.final()]);
    return Buffer.concat([nonce, body, cipher.getAuthTag()]);
  }

  /** Throws `Unreadable`. */
  open(sealed: Buffer, place: string): string {
    if (sealed.length < nonce_bytes + tag_bytes) throw new Unreadable();
    const nonce = sealed.subarray(0, nonce_bytes);
    const decipher = createDecipheriv('aes-256-gcm', this.sealing, nonce, { authTagLength: tag_bytes });
    decipher.setAAD(this.additional(place));
    decipher.setAuthTag(sealed.subarray(-tag_bytes));
    try {
      const body = decipher.update(sealed.subarray(nonce_bytes, -tag_bytes));
      return Buffer.concat([body, decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new Unreadable({ cause });
    }
  }

  private additional(place: string): Buffer {
    return Buffer.from(`tradefleet-audit-value-v1\n${this.id}\n${place}`, 'utf8');
  }
}
