import { describe, expect, it } from '@jest/globals';
import { toHttpRequest } from './http-request.js';
import { readServerSentEvents, type ServerSentEvent } from './server-sent-events.js';

describe('toHttpRequest', () => {
  it('puts named fields into the path, the key and the generation into headers, the rest into the body', () => {
    const request = { name: 'b1', expectedGeneration: 3, idempotencyKey: 'k-1', parameters: { fast: 5 } };
    expect(toHttpRequest('bots.update', request)).toEqual({
      method: 'PATCH',
      path: '/api/v1/bots/b1',
      headers: expect.objectContaining({ 'idempotency-key': 'k-1', 'if-match': '"3"' }) as unknown,
      body: '{"parameters":{"fast":5}}',
    });
  });

  it('puts what a GET asks into the query, escaped, and leaves out what is not given', () => {
    const request = { tenant: 'acme', after: 'a&b=c', host: undefined };
    expect(toHttpRequest('bots.list', request).path).toBe('/api/v1/bots?tenant=acme&after=a%26b%3Dc');
    expect(toHttpRequest('bots.get', { name: '../x' }).path).toBe('/api/v1/bots/..%2Fx');
  });

  it('does not change what it is given', () => {
    const request = { name: 'b1', idempotencyKey: 'k' };
    toHttpRequest('bots.stop', request);
    expect(request).toEqual({ name: 'b1', idempotencyKey: 'k' });
  });
});

describe('readServerSentEvents', () => {
  const text =
    'id: 1\nevent: event\ndata: {"a":1}\n\n: ping\n\ndata: x\r\ndata: é\r\n\r\nevent: no data\n\ndata: cut';

  it.each([1, 2, 3, 7, 1000])('reads the same messages in pieces of %d bytes', async (size) => {
    const bytes = Buffer.from(text, 'utf8');
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    }
    const read: ServerSentEvent[] = [];
    for await (const message of readServerSentEvents(pieces())) read.push(message);
    expect(read).toEqual([
      { id: '1', event: 'event', data: '{"a":1}' },
      { id: null, event: 'message', data: 'x\né' },
    ]);
  });
});
