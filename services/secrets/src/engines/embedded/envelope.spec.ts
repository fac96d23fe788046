import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { MasterKeys } from '#libs/config';
import { closeEnvelope, type Envelope, EnvelopeError, openEnvelope } from './envelope.js';

const masters = (current: string, ...ids: string[]): MasterKeys => ({
  current,
  keys: new Map(ids.map((id) => [id, randomBytes(32)])),
});

describe('envelope', () => {
  it('opens what it closed', () => {
    const keys = masters('k1', 'k1');
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), fc.string({ maxLength: 40 }), (value, identity) => {
        const envelope = closeEnvelope(Buffer.from(value, 'utf8'), identity, keys);
        expect(openEnvelope(envelope, identity, keys).toString('utf8')).toBe(value);
        expect(envelope.ciphertext.length).toBe(28 + Buffer.byteLength(value));
      }),
    );
  });

  it('never makes the same ciphertext twice', () => {
    const keys = masters('k1', 'k1');
    const made = Array.from({ length: 200 }, () => closeEnvelope(Buffer.from('same'), 'row', keys));
    expect(new Set(made.map((e) => e.ciphertext.toString('hex'))).size).toBe(200);
    expect(new Set(made.map((e) => e.wrappedKey.toString('hex'))).size).toBe(200);
  });

  it('does not open after any single byte was changed', () => {
    const keys = masters('k1', 'k1');
    const envelope = closeEnvelope(Buffer.from('broker password'), 'row', keys);
    const flip = (bytes: Buffer, at: number) => {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      return changed;
    };
    const changes: Envelope[] = [
      ...Array.from(envelope.ciphertext, (_, at) => ({
        ...envelope,
        ciphertext: flip(envelope.ciphertext, at),
      })),
      ...Array.from(envelope.wrappedKey, (_, at) => ({
        ...envelope,
        wrappedKey: flip(envelope.wrappedKey, at),
      })),
    ];
    expect(changes.length).toBeGreaterThan(100);
    for (const changed of changes) expect(() => openEnvelope(changed, 'row', keys)).toThrow(EnvelopeError);
  });

  it('does not open in another row, under another key, or cut short', () => {
    const keys = masters('k1', 'k1', 'k2');
    const envelope = closeEnvelope(Buffer.from('broker password'), 'acme\n1', keys);
    expect(() => openEnvelope(envelope, 'acme\n2', keys)).toThrow(EnvelopeError);
    expect(() => openEnvelope({ ...envelope, keyId: 'k2' }, 'acme\n1', keys)).toThrow(EnvelopeError);
    expect(() => openEnvelope({ ...envelope, keyId: 'k3' }, 'acme\n1', keys)).toThrow(/put it back/);
    const short = { ...envelope, ciphertext: envelope.ciphertext.subarray(0, 20) };
    expect(() => openEnvelope(short, 'acme\n1', keys)).toThrow(EnvelopeError);
  });

  it('reads old rows after a new master key became current', () => {
    const before = masters('k1', 'k1');
    const envelope = closeEnvelope(Buffer.from('old'), 'row', before);
    const after: MasterKeys = { current: 'k2', keys: new Map([...before.keys, ['k2', randomBytes(32)]]) };
    expect(openEnvelope(envelope, 'row', after).toString()).toBe('old');
    expect(closeEnvelope(Buffer.from('new'), 'row', after).keyId).toBe('k2');
  });
});
