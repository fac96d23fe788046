import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ProblemError } from '#libs/contracts';
import { decodeCursor, encodeCursor } from './cursor.js';

describe('cursor', () => {
  it('comes back as it went', () => {
    const instants = fc.date({
      min: new Date(0),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instants, fc.uuid(), fc.nat(), (instant, id, size) => {
        const cursor = { time: instant.toISOString(), id, size };
        expect(decodeCursor(encodeCursor(cursor))).toEqual(cursor);
        expect(encodeCursor(cursor).length).toBeLessThanOrEqual(200);
      }),
    );
  });

  it('refuses whatever else a client sends', () => {
    const refused = (text: string) => {
      try {
        decodeCursor(text);
        return false;
      } catch (error) {
        return error instanceof ProblemError && error.code === 'invalid_request';
      }
    };
    expect(refused('')).toBe(true);
    expect(refused(Buffer.from("0 0'; DROP TABLE audit.events").toString('base64url'))).toBe(true);
    expect(refused(encodeCursor({ time: '+275760-09-13T00:00:00.001Z', id: 'x', size: 1 }))).toBe(true);
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => refused(text)));
  });
});
