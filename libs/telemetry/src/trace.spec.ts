import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import { lazyCounter, lazyHistogram, startTelemetry } from './open-telemetry.js';
import { requestContext, runWithContext } from './request-context.js';
import { withSpan } from './span.js';
import { childTraceparent, isTraceparent, newTraceparent, traceIdOf } from './traceparent.js';

const zero = '0'.repeat(16);

describe('traceparents', () => {
  it('continue a trace under a new span', () => {
    const parent = newTraceparent();
    const child = childTraceparent(parent);
    expect(isTraceparent(parent)).toBe(true);
    expect(isTraceparent(child)).toBe(true);
    expect(child).not.toBe(parent);
    expect(traceIdOf(child)).toBe(traceIdOf(parent));
    expect(childTraceparent(`00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`)).toMatch(/-00$/);
  });

  it.each([
    '',
    'x',
    `00-${zero}${zero}-${'b'.repeat(16)}-01`,
    `00-${'a'.repeat(32)}-${zero}-01`,
    `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    `00-${'A'.repeat(32)}-${'b'.repeat(16)}-01`,
  ])('begin anew where "%s" stands', (malformed) => {
    expect(isTraceparent(malformed)).toBe(false);
    expect(traceIdOf(malformed)).toBeUndefined();
    expect(isTraceparent(childTraceparent(malformed))).toBe(true);
  });
});

describe('the context of a request', () => {
  it('follows every await and does not leak', async () => {
    const context = { actor: 'user:eve', traceparent: newTraceparent() };
    const within = await runWithContext(context, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return requestContext.getStore();
    });
    expect(within).toBe(context);
    expect(requestContext.getStore()).toBeUndefined();
  });
});

describe('telemetry', () => {
  it('costs nothing when it is off, and traces go on all the same', async () => {
    const stop = await startTelemetry('test', {});
    const traceparent = newTraceparent();
    const next = await withSpan('work', { kind: 'internal', traceparent }, async (tp) => tp);
    expect(traceIdOf(next)).toBe(traceIdOf(traceparent));
    lazyCounter('c', 'counts').add(1);
    await expect(
      withSpan('work', { kind: 'internal' }, async () => {
        throw new Error('x');
      }),
    ).rejects.toThrow('x');
    await stop();
  });

  it('sends spans and metrics to the endpoint when there is one', async () => {
    const paths: string[] = [];
    const collector = createServer((request, response) => {
      paths.push(request.url ?? '');
      request.resume();
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint;
    try {
      const stop = await startTelemetry('test');
      const traceparent = newTraceparent();
      const next = await withSpan('work', { kind: 'server', traceparent }, async (tp) => tp);
      expect(traceIdOf(next)).toBe(traceIdOf(traceparent));
      lazyCounter('tradefleet.test', 'counts').add(1, { a: 'b' });
      lazyHistogram('tradefleet.test.duration', 'lasts', 'ms').record(5);
      await stop();
      await waitFor(() => paths.includes('/v1/traces') && paths.includes('/v1/metrics'), {
        what: 'both exports',
      });
    } finally {
      delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
      collector.close();
    }
  });
});
