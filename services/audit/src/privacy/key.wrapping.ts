import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { MasterKeyError, type MasterKeys } from '#libs/config';
import { SubjectKey, subjectKey_bytes, Unreadable } from './subject.key.js';

const nonce_bytes = 12;
const tag_bytes = 16;
const version = 1;

/**
 * Keys of persons as they are stored: under a master key, bound to their row. A wrapped key is
 *
 *   version (1 byte) | length of the master key's id (1) | that id | nonce (12) | key (32) | tag (16)
 *
 * and a person is found by an HMAC of the name, so that the table names nobody.
 */
export class KeyWrapping {
  /** By master key; the current one's first. */
  private readonly nameKeys: readonly Buffer[];

  constructor(private readonly masters: MasterKeys) {
    const ids = [masters.current, ...[...masters.keys.keys()].filter((id) => id !== masters.current)];
    this.nameKeys = ids.map((id) => this.derived(id, 'names'));
  }

  /** A new key, and how it is stored. */
  create(subjectId: string): { readonly key: SubjectKey; readonly wrapped: Buffer } {
    const secret = randomBytes(subjectKey_bytes);
    const id = Buffer.from(this.masters.current, 'utf8');
    const nonce = randomBytes(nonce_bytes);
    const wrappingKey = this.derived(this.masters.current, 'keys');
    const cipher = createCipheriv('aes-256-gcm', wrappingKey, nonce, { authTagLength: tag_bytes });
    wrappingKey.fill(0);
    cipher.setAAD(additional(subjectId));
    const body = Buffer.concat([cipher.update(secret), cipher.final()]);
    const wrapped = Buffer.concat([Buffer.of(version, id.length), id, nonce, body, cipher.getAuthTag()]);
    return { key: SubjectKey.take(subjectId, secret), wrapped };
  }

  /** Throws `MasterKeyError` when the master key is not in the file, `Unreadable` when the row was changed. */
  open(subjectId: string, wrapped: Buffer): SubjectKey {
    const id_bytes = wrapped[1] ?? 0;
    if (
      wrapped[0] !== version ||
      wrapped.length !== 2 + id_bytes + nonce_bytes + subjectKey_bytes + tag_bytes
    )
      throw new Unreadable();
    const id = wrapped.subarray(2, 2 + id_bytes).toString('utf8');
    const sealed = wrapped.subarray(2 + id_bytes);
    const wrappingKey = this.derived(id, 'keys');
    const decipher = createDecipheriv('aes-256-gcm', wrappingKey, sealed.subarray(0, nonce_bytes), {
      authTagLength: tag_bytes,
    });
    wrappingKey.fill(0);
    decipher.setAAD(additional(subjectId));
    decipher.setAuthTag(sealed.subarray(-tag_bytes));
    try {
      const secret = decipher.update(sealed.subarray(nonce_bytes, -tag_bytes));
      decipher.final();
      return SubjectKey.take(subjectId, secret);
    } catch (cause) {
      throw new Unreadable({ cause });
    }
  }

  /**
   * What stands for a name: the first one for new rows, the others for rows from before the master key was changed. 32 bytes
   * each.
   */
  macs(name: string): Buffer[] {
    return this.nameKeys.map((key) => createHmac('sha256', key).update(name, 'utf8').digest());
  }

  private derived(masterId: string, use: 'keys' | 'names'): Buffer {
    const master = this.masters.keys.get(masterId);
    if (master === undefined)
      throw new MasterKeyError(
        `Master key ${masterId} is not in the file TRADEFLEET_AUDIT_MASTER_KEY_PATH; put it back to read what it protects.`,
      );
    return Buffer.from(hkdfSync('sha256', master, '', `tradefleet-audit-subject-${use}-v1`, 32));
  }
}

const additional = (subjectId: string): Buffer =>
  Buffer.from(`tradefleet-audit-subject-key-v1\n${subjectId}`, 'utf8');
