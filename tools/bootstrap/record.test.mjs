import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from './fake-machine.mjs';
import { readRecord, recordPath, writeRecord } from './record.mjs';

test('the record is for its owner alone and is read back', (context) => {
  const root = temporaryFolder(context);
  const record = { ...readRecord(root), natsServer: { path: '/x', version: '2.15.2' } };
  writeRecord(root, record);
  assert.deepEqual(readRecord(root), record);
  assert.equal(statSync(recordPath(root)).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(recordPath(root))).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(dirname(recordPath(root))), ['bootstrap.json']);
});

test('an unreadable record or one of another schema is as none', (context) => {
  const root = temporaryFolder(context);
  const empty = { schema: 1, natsServer: null, docker: null, images: { paper: null }, python: null };
  assert.deepEqual(readRecord(root), empty);
  writeRecord(root, { schema: 99, natsServer: {} });
  assert.deepEqual(readRecord(root), empty);
  writeFileSync(recordPath(root), '{');
  assert.deepEqual(readRecord(root), empty);
});
