import { describe, expect, it } from '@jest/globals';
import { parseRecordLine, recordLine, type LogRecord } from './record.js';

const record: LogRecord = {
  v: 1,
  id: '0190a0a0-0000-7000-8000-000000000001',
  source: '/agent/a',
  incarnation: '0190a0a0-0000-7000-8000-000000000002',
  sequence: 7,
  type: 'tradefleet.allocation.running',
  subject: 'allocation/0190a0a0-0000-7000-8000-000000000003',
  severity: 'info',
  retention: 'trading',
  actor: 'host:a',
  subjectId: null,
  time: '2026-01-31T12:00:00.000Z',
  traceparent: null,
  recordedAt: '2026-01-31T12:00:00.123Z',
  signature: null,
  data: '{"a": "é"}',
};
const line =
  '{"v":1,"id":"0190a0a0-0000-7000-8000-000000000001","source":"/agent/a",' +
  '"incarnation":"0190a0a0-0000-7000-8000-000000000002","sequence":7,"type":"tradefleet.allocation.running",' +
  '"subject":"allocation/0190a0a0-0000-7000-8000-000000000003","severity":"info","retention":"trading",' +
  '"actor":"host:a","subjectId":null,"time":"2026-01-31T12:00:00.000Z","traceparent":null,' +
  '"recordedAt":"2026-01-31T12:00:00.123Z","signature":null,"data":"{\\"a\\": \\"é\\"}"}';

describe('the line of a record', () => {
  it('is always the same, whatever order its fields came in', () => {
    expect(recordLine(record)).toBe(line);
    const turned = Object.fromEntries(Object.entries(record).reverse()) as unknown as LogRecord;
    expect(recordLine(turned)).toBe(line);
    expect(parseRecordLine(line)).toEqual(record);
  });

  it('is refused when it says the same in other bytes', () => {
    expect(() => parseRecordLine(` ${line}`)).toThrow('canonical');
    expect(() => parseRecordLine(line.replace('"v":1,', '').replace('}"}', '}","v":1}'))).toThrow();
    expect(() => parseRecordLine(line.replace('"sequence":7', '"sequence":7.0'))).toThrow('canonical');
    expect(() => parseRecordLine(line.replace('"v":1', '"v":2'))).toThrow();
    expect(() => parseRecordLine('{}')).toThrow();
    expect(() => parseRecordLine('no JSON')).toThrow();
  });
});
