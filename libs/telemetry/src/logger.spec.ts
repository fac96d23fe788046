import { describe, expect, it } from '@jest/globals';
import { createLogger, NestPinoLogger, type Logger, type LoggerOptions } from './logger.js';
import { logBounds } from './redaction.js';
import { runWithContext } from './request-context.js';
import { traceIdOf } from './traceparent.js';

function written(options: Partial<LoggerOptions> = {}): { logger: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({
    service: 'test',
    level: 'trace',
    destination: { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    ...options,
  });
  return { logger, lines };
}

const secret = 'Tr0ub4dor&3';

describe('a line', () => {
  it('is JSON with time, level, service, fields and a constant message', () => {
    const { logger, lines } = written({ fields: { instance: 'i1' } });
    logger.info({ host: 'h1', epoch: 3 }, 'allocation started');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown,
        service: 'test',
        instance: 'i1',
        host: 'h1',
        epoch: 3,
        msg: 'allocation started',
      },
    ]);
  });

  it('is not written below its level', () => {
    const { logger, lines } = written({ level: 'warn' });
    logger.info('quiet');
    logger.warn('loud');
    expect(lines.map(({ msg }) => msg)).toEqual(['loud']);
  });

  it('carries the trace of the request it belongs to', () => {
    const { logger, lines } = written();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    runWithContext({ actor: 'user:eve', traceparent }, () => logger.info('within'));
    logger.info('outside');
    expect(lines.map(({ traceId }) => traceId)).toEqual([traceIdOf(traceparent), undefined]);
  });

  it('has the words and the cause of an error', () => {
    const { logger, lines } = written();
    logger.error({ err: new TypeError('no such bot', { cause: new RangeError('deep down') }) }, 'failed');
    expect(lines[0]?.err).toMatchObject({
      type: 'TypeError',
      message: 'no such bot',
      stack: expect.stringContaining('logger.spec') as unknown,
      cause: { type: 'RangeError', message: 'deep down' },
    });
  });
});

describe('redaction', () => {
  const names = [
    'password',
    'brokerPassword',
    'pass',
    'token',
    'accessToken',
    'secret',
    'clientSecret',
    'credentials',
    'sealed',
    'authorization',
    'Authorization',
    'privateKey',
    'private_key',
    'apiKey',
    'cookie',
    'passphrase',
    'jwe',
  ];
  it.each(names)('hides the value of %s at every depth, whatever it is', (name) => {
    const { logger, lines } = written();
    for (const value of [secret, 12345678, [secret], { inner: secret }]) {
      let nested: Record<string, unknown> = { [name]: value };
      for (let depth = 0; depth < 7; depth++) {
        logger.info(nested, 'nested');
        nested = { level: nested, list: [nested] };
      }
    }
    const text = JSON.stringify(lines);
    expect(text).not.toContain(secret);
    expect(text).not.toContain('12345678');
    expect(lines[0]?.[name]).toBe('[redacted]');
  });

  it('leaves what is no secret as it is', () => {
    const { logger, lines } = written();
    const fields = { account: 'acc', epoch: 1, ok: true, nothing: null, list: [1, { bot: 'b' }], passed: 2 };
    logger.info(fields, 'plain');
    expect(lines[0]).toMatchObject(fields);
  });

  it('hides private keys but shows public ones', () => {
    const { logger, lines } = written();
    logger.info({ key: { kty: 'OKP', crv: 'Ed25519', x: 'public', d: secret } }, 'key');
    expect(lines[0]?.key).toEqual({ kty: 'OKP', crv: 'Ed25519', x: 'public', d: '[redacted]' });
  });

  it.each([
    `connect to postgres://tradefleet:${secret}@127.0.0.1/db failed`,
    `{"password":"${secret}"}`,
    `password=${secret} host=x`,
    `Authorization: Bearer ${secret}`,
    `token: '${secret}'`,
    `{"password":"two words, ${secret}"}`,
    `{"password":"a \\" quote ${secret}"}`,
    JSON.stringify(`{"password":"again, ${secret}"}`),
    `connect to postgres://tradefleet:p@${secret}@127.0.0.1/db failed`,
    `nats://${secret}@127.0.0.1:4222`,
    `redis://:${secret}@127.0.0.1`,
  ])('cleans texts: %s', (text) => {
    const { logger, lines } = written();
    logger.error({ err: new Error(text), reason: text }, 'failed');
    new NestPinoLogger(logger).warn(text, 'Context');
    expect(JSON.stringify(lines)).not.toContain(secret);
  });

  it('holds for children, errors with fields of their own, maps, bytes and cycles', () => {
    const { logger, lines } = written({ fields: { token: secret } });
    logger
      .child({ password: secret })
      .child({ deep: { apiKey: secret } })
      .info('child');
    const cycle: Record<string, unknown> = { a: 1 };
    cycle.self = cycle;
    logger.info(
      {
        err: Object.assign(new Error('x'), { config: { password: secret } }),
        map: new Map([['password', secret]]),
        bytes: Buffer.from(secret),
        cycle,
        big: 10n,
        when: new Date(0),
        broken: new Date(NaN),
        run: () => secret,
      },
      'odd values',
    );
    const text = JSON.stringify(lines);
    expect(text).not.toContain(secret);
    expect(text).not.toContain(Buffer.from(secret).toString('base64'));
    expect(lines[1]).toMatchObject({ big: '10', when: '1970-01-01T00:00:00.000Z', broken: null });
  });

  it('bounds what one line carries', () => {
    const { logger, lines } = written();
    logger.info(
      { text: 'x'.repeat(100_000), list: Array.from({ length: 10_000 }, () => 'y'.repeat(10)) },
      'large',
    );
    expect(String(lines[0]?.text).length).toBeLessThan(logBounds.text_chars_max + 20);
    expect((lines[0]?.list as unknown[]).length).toBe(logBounds.entries_max);
  });
});

describe("Nest's messages", () => {
  it('come in the same form, with their context', () => {
    const { logger, lines } = written();
    const nest = new NestPinoLogger(logger);
    nest.log('started', 'NestApplication');
    nest.error('failed', 'the stack', 'Router');
    nest.error(new Error('thrown'), 'Router');
    nest.debug({ some: 'object', password: secret });
    nest.verbose('much');
    nest.fatal('over');
    nest.warn(42);
    expect(lines.map(({ level }) => level)).toEqual([
      'info',
      'error',
      'error',
      'debug',
      'trace',
      'fatal',
      'warn',
    ]);
    expect(lines[0]).toMatchObject({ msg: 'started', context: 'NestApplication' });
    expect(lines[1]).toMatchObject({ msg: 'failed', context: 'Router', details: ['the stack'] });
    expect(lines[2]).toMatchObject({ err: { message: 'thrown' }, context: 'Router' });
    expect(JSON.stringify(lines)).not.toContain(secret);
  });
});
