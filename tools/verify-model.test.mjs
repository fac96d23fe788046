import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXIT_CANNOT_INSTALL, EXIT_OK, EXIT_STEP_FAILED, EXIT_USAGE } from './bootstrap/failure.mjs';
import { fakeMachine } from './bootstrap/fake-machine.mjs';
import { readTrace, readVerdict } from './model/pan.mjs';
import { VARIANTS } from './model/variants.mjs';
import { jobOf, judge, main, readOptions, table } from './verify-model.mjs';

const END = `
State-vector 92 byte, depth reached 4711, errors: 0
  1598386 states, stored
  358.125	total actual memory usage
unreached in proctype Agent
	lease.pml:376, state 58, "-end-"
	(1 of 58 states)
`;

test('what a verifier prints is read', () => {
  assert.deepEqual(readVerdict(END), {
    verdict: 'holds',
    states: 1_598_386,
    depth: 4711,
    memory_mib: 358.125,
    idle: [],
  });
  const idle = END.replace('"-end-"', '"fault = 3"');
  assert.deepEqual(readVerdict(idle).idle, ['line 376: fault = 3']);
  const violated = `pan:1: assertion violated  !(two_writers) (at depth 36)\n${END.replace('errors: 0', 'errors: 1')}`;
  assert.equal(readVerdict(violated).verdict, 'two_writers');
  assert.equal(readVerdict('pan:1: invalid end state (at depth 3)\n').verdict, 'stuck');
});

test('a search that was not finished proves nothing', () => {
  for (const line of [
    'error: max search depth too small',
    'pan: reached -DMEMLIM bound',
    'unfinished: pan ran for longer than 1 s and was ended',
  ])
    assert.deepEqual(
      [readVerdict(`${line}\n${END}`).verdict, readVerdict(`${line}\n${END}`).reason],
      ['unfinished', line.replace('unfinished: ', '')],
    );
  assert.equal(readVerdict('').verdict, 'unfinished');
});

test('a variant is right when that comes of it which must, and the complete one only when all of it was used', () => {
  const complete = VARIANTS.find(({ name }) => name === 'complete');
  const mutant = VARIANTS.find(({ name }) => name === 'lock-delay');
  const result = { ...readVerdict(END), seconds: 1 };
  assert.equal(judge(complete, result).ok, true);
  assert.equal(judge(complete, { ...result, idle: ['line 1: x'] }).ok, false);
  assert.equal(judge(mutant, result).ok, false);
  assert.equal(judge(mutant, { ...result, verdict: 'two_writers' }).ok, true);
  assert.equal(judge(mutant, { ...result, verdict: 'stuck' }).ok, false);
  assert.match(table([judge(mutant, result)]), /^lock-delay {2}two_writers {2}holds {2}WRONG {2}1,598,386/m);
});

test('names of variants are their own, and each rule of the model is taken away in one that must fail', async () => {
  assert.equal(new Set(VARIANTS.map(({ name }) => name)).size, VARIANTS.length);
  const { readFileSync } = await import('node:fs');
  const model = readFileSync(new URL('../docs/models/lease.pml', import.meta.url), 'utf8');
  const inModel = new Set([...model.matchAll(/^#ifn?def (NO_\w+)/gm)].map(([, name]) => name));
  const failing = new Set(
    VARIANTS.filter(({ expected }) => expected !== 'holds').flatMap(({ defines }) => defines),
  );
  assert.deepEqual(
    [...inModel].filter((name) => !failing.has(name)),
    [],
  );
  assert.deepEqual(
    VARIANTS.flatMap(({ defines }) => defines).filter((name) => !model.includes(name)),
    [],
  );
});

test('the command line chooses the variants and their size', () => {
  assert.equal(readOptions([]).variants.length, VARIANTS.length);
  const bounded = readOptions(['--bounded']);
  assert.ok(bounded.variants.length < VARIANTS.length);
  assert.ok(bounded.variants.some(({ name }) => name === 'complete'));
  const only = readOptions(['--only', 'lock-delay', '--timeout-s', '7']);
  assert.deepEqual(
    only.variants.map(({ name }) => name),
    ['lock-delay'],
  );
  const job = jobOf(only.variants[0], only);
  assert.deepEqual(
    [job.flags, job.search, job.timeout_ms],
    [['-DTTL=5', '-DTERMS=3', '-DNO_LOCK_DELAY'], 'shortest', 7000],
  );
  for (const words of [['--only', 'nonsense'], ['--jobs', '0'], ['--timeout-s', 'x'], ['--what'], ['word']])
    assert.throws(() => readOptions(words), TypeError);
});

test('a replay is told without the remarks of spin', () => {
  const replay =
    'using statement merging\n  agent sends a heartbeat\n      -- tick\nspin: lease.pml:9, Error: assertion\nspin: trail ends after 9 steps\n#processes: 6\n';
  assert.equal(readTrace(replay), 'agent sends a heartbeat\n-- tick');
});

test('without spin it says what to install', async () => {
  assert.equal(await main(['--bounded'], { machine: fakeMachine() }), EXIT_CANNOT_INSTALL);
  assert.equal(await main(['--nonsense']), EXIT_USAGE);
});

test('spin finds what must be found, and a rule that is missed is told', async () => {
  let said = '';
  const out = (text) => (said += text);
  assert.equal(
    await main(['--bounded', '--only', 'takeover-watch,leaders', '--trace', '--jobs', '1'], { out }),
    EXIT_OK,
  );
  assert.match(said, /takeover-watch +two_leaders +two_leaders +ok/);
  assert.match(said, /scheduler 1 sees the row as it is[^]*=> two_leaders/);
  assert.match(said, /leaders +holds +holds +ok/);
  said = '';
  const tooShort = ['--only', 'complete', '--memory-mib', '130', '--json'];
  assert.equal(await main(tooShort, { out }), EXIT_STEP_FAILED);
  assert.equal(JSON.parse(said).variants[0].verdict, 'unfinished');
});
