import { beforeAll, describe, expect, it } from '@jest/globals';
import { eventBatchSigningInput, eventLeafInput, type PublicJwk } from '#libs/contracts';
import { inclusionRoot, leafHash, wholeTree } from '#libs/tlog';
import {
  events_per_signature_max,
  readBatchSignature,
  signBatch,
  writeBatchSignature,
  type BatchSignature,
} from './batch-signature.js';
import { isOfVerifiedBatch, verifyEventSignature, verifySignature } from './signature.js';
import { SigningKey } from './signing-key.js';
import { VerifiedBatches } from './verified-batches.js';

const inputsOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => Buffer.from(`tradefleet-event-v1\nevent ${n}\n{"n":${n}}`));
const falseOne = { code: 'bad_signature' };
let key: SigningKey;
let other: SigningKey;

beforeAll(async () => {
  [key, other] = [await SigningKey.generate(), await SigningKey.generate()];
});

/** Events with what each carries. */
async function batchOf(count: number, signer = key) {
  const inputs = inputsOf(count);
  const signatures = await signBatch(inputs, signer);
  const at = (index: number) => {
    const [input, text] = [inputs[index], signatures[index]];
    if (input === undefined || text === undefined) throw new RangeError('The batch has no such event.');
    const read = readBatchSignature(text);
    if (read === null) throw new Error('What was written cannot be read.');
    return { input, text, read };
  };
  return { inputs, signatures, at };
}

describe('one signature for a batch of events', () => {
  it.each([2, 3, 5, 63, 64])('of %i is shown by each of them alone', async (count) => {
    const { inputs, signatures } = await batchOf(count);
    for (const [index, input] of inputs.entries()) {
      // As somebody who has seen none of the others.
      const signature = signatures[index] ?? '';
      const jws = signature.slice(0, signature.indexOf('~'));
      const read = readBatchSignature(signature);
      const salt = read?.salt ?? Buffer.alloc(0);
      const root = inclusionRoot({
        ...{ position: index, size: count, proof: read?.path ?? [] },
        leaf: leafHash(Buffer.concat([salt, input])),
      });
      const text = Buffer.from(`tradefleet-events-v1\n${count}\n${root?.toString('base64') ?? ''}\n`);
      await verifySignature(text, jws, key.publicJwk);
      await verifyEventSignature(input, signature, [other.publicJwk, key.publicJwk]);
      expect(signature.length).toBeLessThanOrEqual(520);
    }
    expect(new Set(signatures.map((it) => it.split('~')[0])).size).toBe(1);
    expect(new Set(signatures).size).toBe(count);
  });

  it('is the plain one for a single event, and bounded', async () => {
    const [input = Buffer.alloc(0)] = inputsOf(1);
    expect(await signBatch([input], key)).toEqual([await key.sign(input)]);
    await verifyEventSignature(input, await key.sign(input), key.publicJwk);
    expect(await signBatch([], key)).toEqual([]);
    await expect(signBatch(inputsOf(events_per_signature_max + 1), key)).rejects.toThrow(RangeError);
  });

  it('tells a neighbour nothing about an event: the same ones have other leaves in each batch', async () => {
    const [one, again] = [await batchOf(2), await batchOf(2)];
    const [, neighbour] = one.inputs;
    const beside = one.at(0).read.path[0];
    expect(beside).not.toEqual(again.at(0).read.path[0]);
    // Who guesses the neighbour right cannot see that he did.
    expect(beside).not.toEqual(leafHash(neighbour ?? ''));
    expect(beside).not.toEqual(leafHash(eventLeafInput(one.at(0).read.salt, neighbour ?? Buffer.alloc(0))));
    const salts = (await batchOf(64)).signatures.map((it) => readBatchSignature(it)?.salt.toString('hex'));
    expect(new Set(salts).size).toBe(64);
  });
});

describe('an event of a batch is refused', () => {
  type Change = (read: BatchSignature, batch: Awaited<ReturnType<typeof batchOf>>) => Partial<BatchSignature>;
  const changes: [string, Change][] = [
    ['at another place', () => ({ index: 5 })],
    ['at a place outside of it', () => ({ index: 7 })],
    ['of a batch of another size', () => ({ size: 6 })],
    ['of a batch of no events', () => ({ size: 0 })],
    ['with a path that is too short', ({ path }) => ({ path: path.slice(0, -1) })],
    ['with a path that is too long', ({ path }) => ({ path: [...path, Buffer.alloc(32)] })],
    ['without a path', () => ({ path: [] })],
    ['with a forged hash in its path', ({ path }) => ({ path: [...path.slice(0, -1), Buffer.alloc(32)] })],
    ['with the path of its neighbour', (_, batch) => ({ path: batch.at(5).read.path })],
    ['with all of its neighbour', (_, batch) => batch.at(5).read],
    ['with the salt of its neighbour', (_, batch) => ({ salt: batch.at(5).read.salt })],
  ];
  it.each(changes)('%s', async (_what, change) => {
    const batch = await batchOf(7);
    const { input, text, read } = batch.at(4);
    const changed = writeBatchSignature({ ...read, ...change(read, batch) });
    // Whether its batch is known or not.
    await expect(verifyEventSignature(input, changed, key.publicJwk)).rejects.toMatchObject(falseOne);
    await verifyEventSignature(input, text, key.publicJwk);
    await expect(verifyEventSignature(input, changed, key.publicJwk)).rejects.toMatchObject(falseOne);
    expect(isOfVerifiedBatch(input, text, [key.publicJwk])).toBe(true);
    expect(isOfVerifiedBatch(input, changed, [key.publicJwk])).toBe(false);
  });

  it.each([
    ['of a batch of one, which has the plain form', 1, 16],
    ['of a larger batch than may be', events_per_signature_max + 1, 16],
    ['with a salt that is too short', 4, 15],
    ['with a salt that is too long', 4, 17],
  ])('%s, though it is truly signed', async (_what, size, salt_bytes) => {
    const salt = Buffer.alloc(salt_bytes, 7);
    const inputs = inputsOf(size);
    const { root, proofs } = wholeTree(inputs.map((input) => leafHash(eventLeafInput(salt, input))));
    const jws = await key.sign(eventBatchSigningInput(size, root));
    const text = writeBatchSignature({ jws, index: 0, size, salt, path: proofs[0] ?? [] });
    const input = inputs[0] ?? Buffer.alloc(0);
    await expect(verifyEventSignature(input, text, key.publicJwk)).rejects.toMatchObject(falseOne);
  });

  const texts: [string, (text: string) => string][] = [
    ['with a part too many', (text) => `${text}~`],
    ['with a part too few', (text) => text.slice(0, text.lastIndexOf('~'))],
    ['with a number not as we write it', (text) => text.replace('~1~', '~01~')],
    ['with a negative number', (text) => text.replace('~1~', '~-1~')],
    ['with a number that is none', (text) => text.replace('~1~', '~1.0~')],
    ['with no number', (text) => text.replace('~1~', '~~')],
    ['with a path that is padded', (text) => `${text}=`],
    ['with a path in another alphabet', (text) => `${text.slice(0, -1)}+`],
    ['with a blank at the end', (text) => `${text} `],
    // A path of one hash ends with 2 spare bits in its last character, a salt with 4.
    ['with spare bits in its path', (text) => text.slice(0, -1) + nextCharacter(text.at(-1))],
    [
      'with spare bits in its salt',
      (text) => inSalt(text, (salt) => salt.slice(0, -1) + nextCharacter(salt.at(-1))),
    ],
    ['with a longer text than may be', (text) => `${text}${'A'.repeat(1024)}`],
    ['with nothing before', (text) => text.slice(text.indexOf('~'))],
    ['with a signature that has a payload', (text) => text.replace('..', '.e30.')],
  ];
  it.each(texts)('%s', async (_what, change) => {
    const batch = await batchOf(2);
    const { input, text } = batch.at(1);
    await verifyEventSignature(input, text, key.publicJwk);
    expect(change(text)).not.toBe(text);
    await expect(verifyEventSignature(input, change(text), key.publicJwk)).rejects.toMatchObject(falseOne);
    expect(isOfVerifiedBatch(input, change(text), [key.publicJwk])).toBe(false);
  });

  it('that is none of it, with the signature of another key, or none of its source', async () => {
    const batch = await batchOf(4);
    const { input, text, read } = batch.at(2);
    await verifyEventSignature(input, text, key.publicJwk);
    const forged = Buffer.from(input.toString().replace('event 2', 'event 9'));
    await expect(verifyEventSignature(forged, text, key.publicJwk)).rejects.toMatchObject(falseOne);
    await expect(verifyEventSignature(input, text, other.publicJwk)).rejects.toMatchObject(falseOne);
    await expect(verifyEventSignature(input, text, [])).rejects.toMatchObject(falseOne);
    const theirs = (await batchOf(4, other)).at(2).read.jws;
    const borrowed = writeBatchSignature({ ...read, jws: theirs });
    await expect(verifyEventSignature(input, borrowed, key.publicJwk)).rejects.toMatchObject(falseOne);
    expect(isOfVerifiedBatch(input, text, [other.publicJwk])).toBe(false);
    expect(isOfVerifiedBatch(forged, text, [key.publicJwk])).toBe(false);
  });

  it('as which a node of its tree is passed off', async () => {
    const batch = await batchOf(4);
    const { read } = batch.at(0);
    const [beside = Buffer.alloc(0), above = Buffer.alloc(0)] = read.path;
    const left = leafHash(eventLeafInput(read.salt, batch.at(0).input));
    // The two leaves below a node as salt and event, one level up, in a batch of half the size.
    const pair = Buffer.concat([left, beside]);
    for (const size of [2, 4]) {
      const forged = writeBatchSignature({
        ...{ jws: read.jws, index: 0, size, path: [above], salt: pair.subarray(0, 16) },
      });
      const input = pair.subarray(16);
      await expect(verifyEventSignature(input, forged, key.publicJwk)).rejects.toMatchObject(falseOne);
    }
  });
});

describe('what is signed for a batch', () => {
  it('passes for no event, and no signature of an event for one of a batch', async () => {
    const batch = await batchOf(2);
    const { input, read } = batch.at(0);
    const { root } = wholeTree([
      leafHash(eventLeafInput(read.salt, input)),
      leafHash(eventLeafInput(batch.at(1).read.salt, batch.at(1).input)),
    ]);
    const text = eventBatchSigningInput(2, root);
    expect(Buffer.from(text).toString()).toMatch(/^tradefleet-events-v1\n2\n[A-Za-z0-9+/]{43}=\n$/);
    // That is what was signed; as the input of an event it begins with other bytes, whatever the event is.
    await verifyEventSignature(text, read.jws, key.publicJwk);
    expect(Buffer.from(text).indexOf('tradefleet-event-v1\n')).toBe(-1);
    await expect(verifyEventSignature(input, read.jws, key.publicJwk)).rejects.toMatchObject(falseOne);
    const single = writeBatchSignature({ ...read, jws: await key.sign(input) });
    await expect(verifyEventSignature(input, single, key.publicJwk)).rejects.toMatchObject(falseOne);
  });

  it('is good for events alone: nothing else is believed by it', async () => {
    const { input, text } = (await batchOf(2)).at(0);
    await verifyEventSignature(input, text, key.publicJwk);
    await expect(verifySignature(input, text, key.publicJwk)).rejects.toMatchObject(falseOne);
  });
});

describe('batches that were verified', () => {
  const counting = (max?: number) => {
    const calls: { jws: string; key: PublicJwk }[] = [];
    const batches = new VerifiedBatches(async (bytes, jws, of) => {
      calls.push({ jws, key: of });
      return await verifySignature(bytes, jws, of).then(
        () => true,
        () => false,
      );
    }, max);
    return { calls, batches };
  };
  const leafAt = ({ input, read }: { input: Buffer; read: BatchSignature }): Buffer =>
    leafHash(eventLeafInput(read.salt, input));

  it('are verified once, though all their events come at the same time', async () => {
    const { calls, batches } = counting();
    const batch = await batchOf(64);
    const all = async () =>
      await Promise.all(
        batch.inputs.map(async (_, index) => {
          const event = batch.at(index);
          return await batches.shows(leafAt(event), event.read, key.publicJwk);
        }),
      );
    expect(new Set(await all())).toEqual(new Set([true]));
    expect(new Set(await all())).toEqual(new Set([true]));
    expect(calls).toHaveLength(1);
  });

  it('are known by the key, and not to another', async () => {
    const { batches } = counting();
    const event = (await batchOf(4)).at(1);
    expect(await batches.shows(leafAt(event), event.read, key.publicJwk)).toBe(true);
    expect(batches.known(event.read, key.publicJwk)).not.toBeNull();
    expect(batches.known(event.read, other.publicJwk)).toBeNull();
    expect(await batches.shows(leafAt(event), event.read, other.publicJwk)).toBe(false);
    expect(batches.known({ ...event.read, size: 3 }, key.publicJwk)).toBeNull();
  });

  it('do not suffer from false ones: those are forgotten, push out nothing, and spoil nothing', async () => {
    const { calls, batches } = counting(2);
    const batch = await batchOf(4);
    const [first, second] = [batch.at(0), batch.at(1)];
    // Under the very signature, before it is known and at the same time.
    const forged = { ...first.read, path: [Buffer.alloc(32), ...first.read.path.slice(1)] };
    const outcomes = [
      batches.shows(leafAt(first), forged, key.publicJwk),
      batches.shows(leafAt(first), first.read, key.publicJwk),
    ];
    expect(await Promise.all(outcomes)).toEqual([false, true]);
    for (let n = 0; n < 10; n += 1) {
      const strange = { ...first.read, jws: first.read.jws.slice(0, -2) + String(10 + n) };
      expect(await batches.shows(leafAt(first), strange, key.publicJwk)).toBe(false);
      expect(batches.known(strange, key.publicJwk)).toBeNull();
    }
    const before = calls.length;
    expect(await batches.shows(leafAt(second), second.read, key.publicJwk)).toBe(true);
    expect(calls).toHaveLength(before);
    // A false one is verified again each time: what became of it once says nothing of the next.
    expect(await batches.shows(leafAt(first), { ...forged, size: 3 }, key.publicJwk)).toBe(false);
    expect(await batches.shows(leafAt(first), { ...forged, size: 3 }, key.publicJwk)).toBe(false);
    expect(calls).toHaveLength(before + 2);
  });

  it('are bounded: what was not met for longest is verified again', async () => {
    const { calls, batches } = counting(2);
    const [one, two, three] = [(await batchOf(2)).at(0), (await batchOf(2)).at(0), (await batchOf(2)).at(0)];
    const meet = async (event: { input: Buffer; read: BatchSignature }) => {
      const before = calls.length;
      expect(await batches.shows(leafAt(event), event.read, key.publicJwk)).toBe(true);
      return calls.length - before;
    };
    expect([await meet(one), await meet(two), await meet(one), await meet(three)]).toEqual([1, 1, 0, 1]);
    expect([await meet(one), await meet(three), await meet(two)]).toEqual([0, 0, 1]);
  });
});

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Other spare bits, the same bytes. */
const nextCharacter = (character = 'A'): string => alphabet[alphabet.indexOf(character) + 1] ?? 'B';

function inSalt(text: string, change: (salt: string) => string): string {
  const parts = text.split('~');
  parts[3] = change(parts[3] ?? '');
  return parts.join('~');
}
