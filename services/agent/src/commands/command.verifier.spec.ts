import { beforeAll, describe, expect, it } from '@jest/globals';
import { command_clock_skew_ms, limits, newId, signatureHeader } from '#libs/contracts';
import { SealingKey, SigningKey } from '#libs/messaging';
import { VirtualClock, aStartCommand, aStopCommand } from '#libs/testing';
import { Identity } from '../identity/identity.js';
import { CommandVerifier } from './command.verifier.js';

describe('CommandVerifier', () => {
  const clock = new VirtualClock();
  let key: SigningKey;
  let next: SigningKey;
  let verifier: CommandVerifier;

  beforeAll(async () => {
    key = await SigningKey.generate();
    next = await SigningKey.generate();
    const identity = new Identity('here', newId(), await SigningKey.generate(), await SealingKey.generate());
    verifier = new CommandVerifier(identity, [key.publicJwk, next.publicJwk], clock);
  });

  const expiresAt = (in_ms: number) => new Date(clock.wallMs() + in_ms).toISOString();
  const start = (fields: object = {}) => ({
    ...aStartCommand({ host: 'here', expiresAt: expiresAt(60_000) }),
    ...fields,
  });
  const signed = async (body: string, by = key) => {
    const bytes = Buffer.from(body);
    return { bytes, headers: { [signatureHeader]: await by.sign(bytes) } };
  };

  it('takes what the scheduler signed for this host', async () => {
    const command = start();
    await expect(verifier.verify(await signed(JSON.stringify(command)))).resolves.toEqual(command);
    const stop = aStopCommand({ host: 'here', expiresAt: expiresAt(60_000) });
    await expect(verifier.verify(await signed(JSON.stringify(stop)))).resolves.toEqual(stop);
  });

  it('takes the signature of the next key while keys are replaced', async () => {
    await expect(verifier.verify(await signed(JSON.stringify(start()), next))).resolves.toBeDefined();
  });

  it('takes a command that the difference of the clocks makes look late', async () => {
    const command = start({ expiresAt: expiresAt(-command_clock_skew_ms) });
    await expect(verifier.verify(await signed(JSON.stringify(command)))).resolves.toBeDefined();
  });

  it('refuses what is not signed, or by a stranger', async () => {
    const bytes = Buffer.from(JSON.stringify(start()));
    await expect(verifier.verify({ bytes, headers: {} })).rejects.toMatchObject({ code: 'bad_signature' });
    const stranger = await SigningKey.generate();
    await expect(verifier.verify(await signed(JSON.stringify(start()), stranger))).rejects.toMatchObject({
      code: 'bad_signature',
    });
  });

  it('refuses what was changed after it was signed, by a single space even', async () => {
    const body = JSON.stringify(start());
    const { headers } = await signed(body);
    for (const changed of [`${body} `, body.replace('"epoch":1', '"epoch":2')]) {
      await expect(verifier.verify({ bytes: Buffer.from(changed), headers })).rejects.toMatchObject({
        code: 'bad_signature',
      });
    }
  });

  it.each<[string, string, () => string]>([
    ['no JSON', 'malformed_json', () => '{"verb":'],
    ['another shape', 'invalid_request', () => '[]'],
    ['an unknown verb', 'invalid_request', () => JSON.stringify(start({ verb: 'format' }))],
    ['an unknown field', 'invalid_request', () => JSON.stringify(start({ shell: 'rm -rf /' }))],
    ['a missing field', 'invalid_request', () => JSON.stringify(start({ epoch: undefined }))],
    ['a field of another type', 'invalid_request', () => JSON.stringify(start({ epoch: '1' }))],
    ['another host', 'wrong_host', () => JSON.stringify(start({ host: 'there' }))],
    [
      'a time that has passed',
      'command_expired',
      () => JSON.stringify(start({ expiresAt: expiresAt(-command_clock_skew_ms - 1) })),
    ],
  ])('refuses a signed message with %s as %s', async (_, code, body) => {
    await expect(verifier.verify(await signed(body()))).rejects.toMatchObject({ code });
  });

  it('refuses what is too large before it looks at it', async () => {
    const bytes = Buffer.alloc(limits.message_bytes_max + 1, ' ');
    await expect(verifier.verify({ bytes, headers: {} })).rejects.toMatchObject({
      code: 'payload_too_large',
    });
  });
});
