import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkpointText, parseCheckpoint } from './checkpoint.js';
import { emptyRoot, leafHash } from './hash.js';
import { NoteInvalid, openNote, signNote, verifierKey } from './note.js';

/** The example of golang.org/x/mod/sumdb/note, which others test themselves with. */
const example = {
  name: 'PeterNeumann',
  verifierKey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  /** Type and seed. */
  privateKey: 'AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz',
  text: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
  signature:
    '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
};
const seed = Buffer.from(example.privateKey, 'base64').subarray(1);
const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
  format: 'der',
  type: 'pkcs8',
});
const publicKey = createPublicKey(privateKey);
const another = generateKeyPairSync('ed25519');

describe('a signed note', () => {
  it('is the same byte for byte as others make it', () => {
    const note = `${example.text}\n${example.signature}`;
    expect(verifierKey(example.name, publicKey)).toBe(example.verifierKey);
    expect(signNote(example.text, example.name, privateKey)).toBe(note);
    expect(openNote(note, example.name, publicKey)).toBe(example.text);
  });

  it('is made by a signer that does not give its key away', () => {
    const signer = { publicKey, sign: (bytes: Uint8Array) => sign(null, bytes, privateKey) };
    expect(signNote(example.text, example.name, signer)).toBe(
      signNote(example.text, example.name, privateKey),
    );
  });

  it('may carry signatures of others, which are not looked at', () => {
    const others = signNote(example.text, 'witness.example', another.privateKey).slice(
      example.text.length + 1,
    );
    const note = `${example.text}\n${others}${example.signature}`;
    expect(openNote(note, example.name, publicKey)).toBe(example.text);
    expect(openNote(note, 'witness.example', another.publicKey)).toBe(example.text);
  });

  it('is refused under another key or name, and with any byte changed', () => {
    const note = signNote(example.text, example.name, privateKey);
    expect(() => openNote(note, example.name, another.publicKey)).toThrow(NoteInvalid);
    expect(() => openNote(note, 'somebody', publicKey)).toThrow(NoteInvalid);
    fc.assert(
      fc.property(fc.nat(note.length - 1), fc.constantFrom('x', 'A', ' ', '\n', 'é'), (at, other) => {
        fc.pre(note[at] !== other);
        const changed = note.slice(0, at) + other + note.slice(at + 1);
        expect(() => openNote(changed, example.name, publicKey)).toThrow(NoteInvalid);
      }),
    );
  });

  it('is refused when it is no note', () => {
    for (const note of [
      '',
      '\n\n',
      example.text,
      `${example.text}\n`,
      `${example.text}\n${example.signature}more`,
      `${example.text}\n-- PeterNeumann x08go/ZJkuA=\n`,
      `${example.text}\n${'— a AAAAAAAA\n'.repeat(101)}`,
    ])
      expect(() => openNote(note, example.name, publicKey)).toThrow(NoteInvalid);
    expect(() => signNote('no line feed', 'name', privateKey)).toThrow(NoteInvalid);
    expect(() => signNote('a tab\t\n', 'name', privateKey)).toThrow(NoteInvalid);
    expect(() => signNote(example.text, 'two words', privateKey)).toThrow(NoteInvalid);
  });
});

describe('a checkpoint', () => {
  const checkpoint = { origin: 'tradefleet/audit', size: 1_234_567, root: leafHash('x'), extensions: [] };

  it('is three lines, and what follows', () => {
    const text = checkpointText(checkpoint);
    expect(text).toBe(`tradefleet/audit\n1234567\n${leafHash('x').toString('base64')}\n`);
    expect(parseCheckpoint(text)).toEqual(checkpoint);
    const more = { ...checkpoint, size: 0, root: emptyRoot, extensions: ['one more'] };
    expect(parseCheckpoint(checkpointText(more))).toEqual(more);
  });

  it('is refused in any other form', () => {
    const root = leafHash('x').toString('base64');
    for (const text of [
      '',
      `o\n1\n${root}`,
      `o\n01\n${root}\n`,
      `o\n-1\n${root}\n`,
      `o\n9007199254740993\n${root}\n`,
      `o\n1\n${root.slice(0, -2)}\n`,
      `\n1\n${root}\n`,
      `o\n1\n${root}\n\n`,
    ])
      expect(() => parseCheckpoint(text)).toThrow(NoteInvalid);
    expect(() => checkpointText({ ...checkpoint, origin: 'two\nlines' })).toThrow(NoteInvalid);
  });
});
