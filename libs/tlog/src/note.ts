import { createHash, createPublicKey, sign as signBytes, verify, type KeyObject } from 'node:crypto';

/** Type byte of Ed25519 signatures in key ids. */
const ed25519Type = Buffer.of(1);
const keyId_bytes = 4;
const signature_bytes = 64;
const note_chars_max = 65_536;
const signatures_max = 100;

/** A note that is not in the form of C2SP signed-note, or that the key has not signed. */
export class NoteInvalid extends Error {
  override readonly name = 'NoteInvalid';
}

/** Whoever holds an Ed25519 key. */
export interface NoteSigner {
  readonly publicKey: KeyObject;
  /** The 64 bytes of the signature. */
  sign(bytes: Uint8Array): Buffer;
}

/**
 * A note as C2SP signed-note has it: the text, a blank line, one signature line. The text ends with a line feed and has no
 * other control character; the name is without blanks and `+`. Throws `NoteInvalid` for others. The key is a private one.
 */
export function signNote(text: string, name: string, key: KeyObject | NoteSigner): string {
  requireText(text);
  requireName(name);
  const signer = 'publicKey' in key ? key : signerOf(key);
  const signature = Buffer.concat([keyId(name, signer.publicKey), signer.sign(Buffer.from(text, 'utf8'))]);
  return `${text}\n— ${name} ${signature.toString('base64')}\n`;
}

/** The text of a note. Throws `NoteInvalid` unless this key has signed it under this name; other signatures are not looked at. */
export function openNote(note: string, name: string, publicKey: KeyObject): string {
  requireName(name);
  const end = note.lastIndexOf('\n\n');
  if (end === -1 || note.length > note_chars_max) throw new NoteInvalid('This is not a signed note.');
  const text = note.slice(0, end + 1);
  requireText(text);
  const id = keyId(name, publicKey);
  const own = signatureLines(note.slice(end + 2)).find((it) => it.name === name && it.id.equals(id));
  if (own === undefined) throw new NoteInvalid('The key has not signed this note.');
  const isSigned =
    own.signature.length === signature_bytes &&
    verify(null, Buffer.from(text, 'utf8'), publicKey, own.signature);
  if (!isSigned) throw new NoteInvalid('The signature of this note does not verify.');
  return text;
}

/** The key as other tools for signed notes take it: `<name>+<key id>+<type and key, base64>`. */
export function verifierKey(name: string, publicKey: KeyObject): string {
  requireName(name);
  const key = Buffer.concat([ed25519Type, rawKey(publicKey)]).toString('base64');
  return `${name}+${keyId(name, publicKey).toString('hex')}+${key}`;
}

function signerOf(privateKey: KeyObject): NoteSigner {
  return {
    publicKey: createPublicKey(privateKey),
    sign: (bytes) => signBytes(null, bytes, privateKey),
  };
}

/** Names the key in signature lines; proves nothing. */
function keyId(name: string, publicKey: KeyObject): Buffer {
  return createHash('sha256')
    .update(`${name}\n`)
    .update(ed25519Type)
    .update(rawKey(publicKey))
    .digest()
    .subarray(0, keyId_bytes);
}

function rawKey(publicKey: KeyObject): Buffer {
  const { crv, x } = publicKey.export({ format: 'jwk' });
  if (crv !== 'Ed25519' || x === undefined) throw new NoteInvalid('Notes are signed with Ed25519 keys.');
  return Buffer.from(x, 'base64url');
}

interface SignatureLine {
  readonly name: string;
  readonly id: Buffer;
  readonly signature: Buffer;
}

function signatureLines(block: string): SignatureLine[] {
  const lines = block.split('\n');
  if (lines.pop() !== '' || lines.length === 0 || lines.length > signatures_max)
    throw new NoteInvalid('This is not a signed note.');
  return lines.map((line) => {
    const [, name, base64] = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line) ?? [];
    if (name === undefined || base64 === undefined) throw new NoteInvalid('A signature line is not one.');
    const bytes = Buffer.from(base64, 'base64');
    return { name, id: bytes.subarray(0, keyId_bytes), signature: bytes.subarray(keyId_bytes) };
  });
}

function requireText(text: string): void {
  // Lone surrogates would be changed on the way to bytes; what was signed is then not what is read.
  const isText =
    text.endsWith('\n') && text.length <= note_chars_max && /^[^\p{Cs}\0-\x09\x0b-\x1f]*$/u.test(text);
  if (!isText)
    throw new NoteInvalid('The text of a note ends with a line feed and has no control character.');
}

function requireName(name: string): void {
  if (!/^[^\s+\p{Cs}]+$/u.test(name)) throw new NoteInvalid('A name has neither blanks nor "+".');
}
