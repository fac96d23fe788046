import { KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, FlattenedSign, flattenedVerify, importJWK } from 'jose';
import { z } from 'zod';
import { AllocationToken, newId, type PublicJwk } from '#libs/contracts';
import { signDetached } from './detached-jws.js';
import { SealingKey, seal } from './sealing-key.js';
import { verifySignature } from './signature.js';
import { SigningKey } from './signing-key.js';
import { signToken, verifyToken } from './token.js';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');
const body = bytes('{"verb":"start","epoch":3}');
let key: SigningKey;
let other: SigningKey;
let folder: string;

beforeAll(async () => {
  key = await SigningKey.generate();
  other = await SigningKey.generate();
  folder = await mkdtemp(join(tmpdir(), 'tradefleet-keys-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('a signature', () => {
  it('verifies over exactly the bytes that were signed, by the key that signed', async () => {
    const signature = await key.sign(body);
    expect(signature).toMatch(/^[\w-]+\.\.[\w-]+$/);
    await verifySignature(body, signature, key.publicJwk);
    await verifySignature(body, signature, [other.publicJwk, key.publicJwk]);
    await verifySignature(new Uint8Array(), await key.sign(new Uint8Array()), key.publicJwk);
    // A view into a larger buffer, as bodies of messages are.
    const within = Buffer.concat([bytes('xx'), body, bytes('yy')]).subarray(2, 2 + body.byteLength);
    await verifySignature(within, signature, key.publicJwk);
  });

  const headerOf = (fields: object): string => Buffer.from(JSON.stringify(fields)).toString('base64url');
  const forged: [
    string,
    (good: string) => Promise<[Uint8Array, string | undefined, PublicJwk | PublicJwk[]]>,
  ][] = [
    ['a changed body', async (good) => [bytes('{"verb":"start","epoch":4}'), good, key.publicJwk]],
    ['another key', async (good) => [body, good, other.publicJwk]],
    [
      'another key that claims the same id',
      async (good) => [body, good, { ...other.publicJwk, kid: key.publicJwk.kid }],
    ],
    ['no key', async (good) => [body, good, []]],
    ['a sealing key', async (good) => [body, good, { ...key.publicJwk, crv: 'X25519' }]],
    ['no signature', async () => [body, undefined, key.publicJwk]],
    ['an empty signature', async () => [body, '', key.publicJwk]],
    ['text', async () => [body, 'signed, honestly', key.publicJwk]],
    ['a header that is no JSON', async (good) => [body, `e30x..${good.split('.')[2] ?? ''}`, key.publicJwk]],
    [
      'a header with another algorithm',
      async (good) => [body, `${headerOf({ alg: 'none' })}..${good.split('.')[2] ?? ''}`, key.publicJwk],
    ],
    ['no signature bytes', async (good) => [body, `${good.split('.')[0] ?? ''}..`, key.publicJwk]],
    ['a payload of its own', async (good) => [body, good.replace('..', '.e30.'), key.publicJwk]],
    ['a fourth part', async (good) => [body, `${good}.more`, key.publicJwk]],
    ['a huge one', async (good) => [body, good + 'A'.repeat(5000), key.publicJwk]],
    [
      'one of another kind',
      async () => {
        const token = await new CompactSign(body)
          .setProtectedHeader({ alg: 'EdDSA', typ: 'allocation+jwt' })
          .sign(key.cryptoKey());
        const [head = '', , signature = ''] = token.split('.');
        return [body, `${head}..${signature}`, key.publicJwk];
      },
    ],
  ];
  it('is the same that jose makes, and either verifies what the other signed', async () => {
    const signature = await key.sign(body);
    const [protectedHeader = '', , value = ''] = signature.split('.');
    const header = { alg: 'EdDSA', typ: 'tradefleet-signature', kid: key.publicJwk.kid };
    const theirs = await new FlattenedSign(body).setProtectedHeader(header).sign(key.cryptoKey());
    expect([theirs.protected, theirs.signature]).toEqual([protectedHeader, value]);
    const jwk = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key.publicJwk.x }, 'EdDSA');
    const payload = Buffer.from(body).toString('base64url');
    await expect(
      flattenedVerify({ protected: protectedHeader, payload, signature: value }, jwk),
    ).resolves.toMatchObject({ protectedHeader: header });
  });

  /** Signed by the right key over a header of the forger's choice. */
  const withHeader = async (header: object): Promise<string> => {
    const text = headerOf(header);
    return `${text}..${await signDetached(text, body, KeyObject.from(key.cryptoKey()))}`;
  };
  it.each([
    ['rules of its own', { alg: 'EdDSA', typ: 'tradefleet-signature', crit: ['b64'], b64: false }],
    ['no kind', { alg: 'EdDSA' }],
    ['another kind', { alg: 'EdDSA', typ: 'allocation+jwt' }],
    ['another algorithm', { alg: 'HS256', typ: 'tradefleet-signature' }],
    ['an id that is none', { alg: 'EdDSA', typ: 'tradefleet-signature', kid: 7 }],
  ])('is refused although the key signed it: a header with %s', async (_what, header) => {
    await expect(verifySignature(body, await withHeader(header), key.publicJwk)).rejects.toMatchObject({
      code: 'bad_signature',
    });
  });

  it.each([
    ['of the header', (good: string) => `\u0165${good.slice(1)}`],
    ['of the signature', (good: string) => `${good.slice(0, -2)}=${good.slice(-2)}`],
  ])('is refused with a character that is none %s', async (_what, change) => {
    const good = await key.sign(body);
    expect(good.startsWith('e')).toBe(true); // U+0165 is 'e' (0x65) to a latin1 encoder
    await expect(verifySignature(body, change(good), key.publicJwk)).rejects.toMatchObject({
      code: 'bad_signature',
    });
  });

  it.each(forged)('is refused: %s', async (_what, make) => {
    const [over, signature, keys] = await make(await key.sign(body));
    await expect(verifySignature(over, signature, keys)).rejects.toMatchObject({ code: 'bad_signature' });
  });
});

describe('a token', () => {
  const issuedAt = new Date('2026-01-01T00:00:00Z');
  const expiresAt = new Date('2026-01-01T00:01:00Z');
  const now_ms = issuedAt.getTime() + 1000;
  const typ = 'allocation+jwt';
  const claims = {
    iss: 'scheduler',
    aud: 'secrets',
    sub: newId(),
    host: 'h1',
    account: 'acc',
    tenant: 'acme',
    epoch: 3,
    runtime: 'paper',
    server: 'Paper-Demo',
    login: 1,
    cnf: { jwk: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } },
  };
  const sign = async (fields: object = claims, options: object = {}) =>
    signToken(fields as Record<string, unknown>, { typ, issuedAt, expiresAt, ...options }, key);
  const verify = async (token: string, options: object = {}) =>
    verifyToken(token, { typ, schema: AllocationToken, keys: key.publicJwk, now_ms, ...options });

  it('gives back its claims', async () => {
    expect(await verify(await sign())).toEqual({ ...claims, iat: 1_767_225_600, exp: 1_767_225_660 });
  });

  it('ends at its time, give or take what clocks may differ', async () => {
    const token = await sign();
    await expect(verify(token, { now_ms: expiresAt.getTime() - 1 })).resolves.toBeDefined();
    await expect(verify(token, { now_ms: expiresAt.getTime() })).rejects.toMatchObject({
      code: 'bad_signature',
    });
    await expect(verify(token, { now_ms: expiresAt.getTime() + 4999, skew_ms: 5000 })).resolves.toBeDefined();
    await expect(verify(token, { now_ms: expiresAt.getTime() + 5000, skew_ms: 5000 })).rejects.toThrow(
      /ended/,
    );
  });

  it.each([
    ['another kind', async () => verify(await sign(claims, { typ: 'at+jwt' }))],
    ['another key', async () => verify(await sign(), { keys: other.publicJwk })],
    ['another audience', async () => verify(await sign({ ...claims, aud: 'gateway' }))],
    ['a claim too many', async () => verify(await sign({ ...claims, admin: true }))],
    [
      'changed claims',
      async () => {
        const [head = '', , signature = ''] = (await sign()).split('.');
        const changed = Buffer.from(JSON.stringify({ ...claims, epoch: 9, iat: 1, exp: 9e9 })).toString(
          'base64url',
        );
        return verify(`${head}.${changed}.${signature}`);
      },
    ],
    [
      'no signature at all',
      async () => {
        const head = Buffer.from(JSON.stringify({ alg: 'none', typ })).toString('base64url');
        const payload = Buffer.from(JSON.stringify({ ...claims, iat: 1, exp: 9e9 })).toString('base64url');
        return verify(`${head}.${payload}.`);
      },
    ],
    ['a detached signature', async () => verify(await key.sign(bytes(JSON.stringify(claims))))],
    ['text', async () => verify('x.y.z')],
    ['too much', async () => verify('x'.repeat(5000))],
    [
      'a token without end',
      async () => {
        const token = await new CompactSign(bytes('{"a":1}'))
          .setProtectedHeader({ alg: 'EdDSA', typ })
          .sign(key.cryptoKey());
        return verify(token, { schema: z.looseObject({}) });
      },
    ],
  ] as [string, () => Promise<unknown>][])('is refused: %s', async (_what, attempt) => {
    await expect(attempt()).rejects.toMatchObject({ code: 'bad_signature' });
  });
});

describe('sealing', () => {
  it('opens with the one key it was sealed to', async () => {
    const sealing = await SealingKey.generate();
    const sealed = await seal(bytes('pässword'), sealing.publicJwk);
    expect(sealed.split('.')).toHaveLength(5);
    expect(sealed).not.toContain(Buffer.from('pässword').toString('base64url'));
    expect(Buffer.from(await sealing.open(sealed)).toString('utf8')).toBe('pässword');
    expect(await seal(bytes('pässword'), sealing.publicJwk)).not.toBe(sealed);
    await expect((await SealingKey.generate()).open(sealed)).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  it('notices any change', async () => {
    const sealing = await SealingKey.generate();
    const sealed = await seal(bytes('secret'), sealing.publicJwk);
    const parts = sealed.split('.');
    for (const index of [0, 1, 2, 3, 4]) {
      const part = parts[index] ?? '';
      const changed = [...parts];
      changed[index] = (part.startsWith('A') ? 'B' : 'A') + part.slice(1);
      await expect(sealing.open(changed.join('.'))).rejects.toMatchObject({ code: 'invalid_request' });
    }
    await expect(sealing.open('x'.repeat(10_000))).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(seal(bytes('x'), key.publicJwk)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});

describe('key files', () => {
  it.each([
    ['signing', SigningKey],
    ['sealing', SealingKey],
  ] as const)('keep a %s key, readable by the owner only', async (name, Key) => {
    const path = join(folder, name, 'key.jwk');
    const made = await Key.fromFile(path, { create: true });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await Key.fromFile(path)).publicJwk).toEqual(made.publicJwk);
    expect((await Key.fromFile(path, { create: true })).publicJwk).toEqual(made.publicJwk);
    expect(await made.toNewFile(path)).toBe(false);
    expect(JSON.stringify(made.publicJwk)).not.toContain('"d"');
  });

  it('end as one key when two processes start at once', async () => {
    const path = join(folder, 'race.jwk');
    const made = await Promise.all([1, 2, 3, 4].map(async () => SigningKey.fromFile(path, { create: true })));
    expect(new Set(made.map(({ publicJwk }) => publicJwk.x)).size).toBe(1);
  });

  it('are refused when others may read them, when they are damaged and when they are missing', async () => {
    const path = join(folder, 'open.jwk');
    await key.toNewFile(path);
    await chmod(path, 0o640);
    await expect(SigningKey.fromFile(path)).rejects.toThrow(/chmod 0600/);
    const damaged = join(folder, 'damaged.jwk');
    const text = (await readFile(path, 'utf8')).slice(0, -5);
    await writeFile(damaged, text, { mode: 0o600 });
    const refused: unknown = await SigningKey.fromFile(damaged).catch((error: unknown) => error);
    expect(String(refused)).toMatch(/not a private key/);
    expect(String(refused)).not.toContain((JSON.parse(await readFile(path, 'utf8')) as { d: string }).d);
    await expect(SigningKey.fromFile(join(folder, 'none.jwk'))).rejects.toThrow(/ENOENT/);
    const sealing = join(folder, 'sealing.jwk');
    await (await SealingKey.generate()).toNewFile(sealing);
    await expect(SigningKey.fromFile(sealing)).rejects.toThrow(/Ed25519/);
  });
});
