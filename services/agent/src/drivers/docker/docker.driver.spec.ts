import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import type { LeaseFile } from '#libs/contracts';
import { uniqueName, waitFor } from '#libs/testing';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Driver, TaskEvent, TaskHandle, TaskSpec } from '../driver.js';
import { DockerDriver } from './docker.driver.js';
import { DockerHarness } from './docker.harness.js';
import { EngineProxy, type Verdict } from './engine.proxy.js';
import { label, labelsOf } from './labels.js';

const LONG = new AbortController().signal;
const steps = ['image', 'network', 'volume', 'create'] as const;

async function started(driver: Driver, task: TaskSpec): Promise<TaskHandle> {
  for (const step of steps) await driver.prepare(step, task);
  return driver.start(task);
}

/** A program that has said so has its signal handlers in place. */
async function untilHandlesSignals(driver: Driver, handle: TaskHandle): Promise<void> {
  await waitFor(async () => (await driver.logs(handle, 10)).some(({ text }) => text === 'bot started'));
}

const faulty = (fault: string, retry: boolean): unknown =>
  expect.objectContaining({ name: 'DriverError', fault, retry });

describe('the docker driver', () => {
  let harness: DockerHarness;
  const host = uniqueName('host');
  let driver: DockerDriver;

  beforeAll(async () => {
    harness = await DockerHarness.create();
    driver = harness.driver(host);
  }, 180_000);

  afterAll(() => harness.close(), 60_000);

  it('shows the engine a hardened container', async () => {
    const task = harness.task('runs', { host });
    const handle = await started(driver, task);
    const seen = await harness.docker.getContainer(handle.id).inspect();
    expect(seen.Name).toBe(`/bot-${task.account}`);
    expect(seen.Config).toMatchObject({ User: '911:911', Hostname: `bot-${task.account}`, Tty: false });
    expect(seen.Config.Labels).toMatchObject(labelsOf(task, harness.fleet));
    expect(seen.Config.Env.filter((entry) => entry.startsWith('TRADEFLEET'))).toEqual([
      'TRADEFLEET_RUN_DIR=/run/tradefleet',
    ]);
    expect(seen.HostConfig).toMatchObject({
      Privileged: false,
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      RestartPolicy: { Name: 'no' },
      Memory: 64 * 1024 * 1024,
      MemorySwap: 64 * 1024 * 1024,
      NanoCpus: 500_000_000,
      PidsLimit: 32,
      OomScoreAdj: 500,
      IpcMode: 'private',
      CgroupnsMode: 'private',
      NetworkMode: `tf-${task.allocation}`,
      LogConfig: { Type: 'local' },
    });
    expect(seen.HostConfig.CapAdd ?? []).toEqual([]);
    expect(seen.NetworkSettings.Ports).toEqual({});
    const mounts = seen.Mounts.map(({ Type, Source, Destination, RW, Propagation, Name }) =>
      Type === 'volume' ? [Type, Name, Destination, RW] : [Type, Source, Destination, RW, Propagation],
    );
    expect(mounts).toHaveLength(3);
    expect(mounts).toEqual(
      expect.arrayContaining([
        ['bind', task.runDir, '/run/tradefleet', false, 'rprivate'],
        ['bind', join(task.runDir, 'out'), '/run/tradefleet/out', true, 'rprivate'],
        ['volume', `tf.${harness.fleet}.${task.account}`, '/config', true],
      ]),
    );
    const network = z
      .object({
        Internal: z.literal(true),
        EnableIPv6: z.literal(false),
        Driver: z.literal('bridge'),
        Options: z.record(z.string(), z.string()),
        IPAM: z.object({ Config: z.tuple([z.object({ Subnet: z.string() })]) }),
      })
      .parse(await harness.docker.getNetwork(`tf-${task.allocation}`).inspect());
    expect(network.IPAM.Config[0].Subnet).toMatch(/^10\.201\.\d+\.\d+\/29$/);
    expect(network.Options).toMatchObject({ 'com.docker.network.bridge.enable_icc': 'false' });
    await driver.destroy(handle);
  });

  it('holds the bot to it from the inside', async () => {
    const task = harness.taskRunning(PROBE, { host });
    const handle = await started(driver, task);
    const exit = await driver.wait(handle, LONG);
    expect({ exit, logs: exit.exitCode === 0 ? [] : await driver.logs(handle, 20) }).toEqual({
      exit: { exitCode: 0, outOfMemory: false, unknown: false },
      logs: [],
    });
    const report: unknown = JSON.parse(readFileSync(join(task.runDir, 'out', 'report.json'), 'utf8'));
    expect(report).toEqual({
      uid: [911, 911, 911],
      gid: [911, 911, 911],
      groups: [911],
      CapInh: 0,
      CapPrm: 0,
      CapEff: 0,
      CapBnd: 0,
      CapAmb: 0,
      NoNewPrivs: 1,
      Seccomp: 2,
      core: [0, 0],
      nofile: [4096, 8192],
      oom_score_adj: '500',
      tcp_retries2: '2',
      hostname: `bot-${task.account}`,
      root_write: 'EROFS',
      run_dir_write: 'EROFS',
      etc_hosts_write: 'EROFS',
      config_write: 'ok',
      tmp_write: 'ok',
      tmp_exec: 'EACCES',
      tmp_size_MiB: 64,
      ipv6: ['lo'],
      reaches_host: false,
      finds_names: false,
    });
    await driver.destroy(handle);
  }, 180_000);

  it('tells that a bot used up its memory', async () => {
    const events: TaskEvent[] = [];
    const controller = new AbortController();
    driver.events((event) => events.push(event), controller.signal);
    // It may take a while until it listens.
    const noise = harness.task('runs', { host });
    for (const step of steps) await driver.prepare(step, noise);
    await waitFor(async () => {
      await driver.stop(await driver.start(noise), 0);
      return events.some((e) => e.allocation === noise.allocation && e.kind === 'exited');
    });
    await driver.discard(noise);
    const eater = 'held = []\nwhile True: held.append(bytearray(1 << 20))\n';
    const task = harness.taskRunning(eater, {
      host,
      resources: { cpuMillis: 1000, memoryMiB: 32, pids: 16 },
    });
    const handle = await started(driver, task);
    expect(await driver.wait(handle, LONG)).toEqual({ exitCode: 137, outOfMemory: true, unknown: false });
    expect(await driver.inspect(handle)).toMatchObject({ state: 'exited', exitCode: 137, outOfMemory: true });
    await waitFor(() => events.some((e) => e.kind === 'out-of-memory' && e.allocation === task.allocation));
    controller.abort();
    await driver.destroy(handle);
  });

  it('runs the real image, whose supervisor sees the lease and whose bot misses its bot.json', async () => {
    const real = harness.driver(host, { images: { paper: harness.paperImage } });
    const task = harness.task('runs', { host, resources: { cpuMillis: 1000, memoryMiB: 128, pids: 32 } });
    const now_ms = new SystemClock().boottimeMs();
    const { allocation, epoch } = task;
    const lease: LeaseFile = {
      schema: 1,
      allocation,
      epoch,
      deadlineBoottimeMs: now_ms + 60_000,
      writtenBoottimeMs: now_ms,
    };
    writeFileSync(join(task.runDir, 'lease.json'), JSON.stringify(lease));
    const handle = await started(real, task);
    const { Config } = await harness.docker.getContainer(handle.id).inspect();
    expect(Config.Healthcheck?.Test).toEqual(expect.arrayContaining(['CMD']));
    const exit = await real.wait(handle, LONG);
    expect({ exit, logs: exit.exitCode === 65 ? [] : await real.logs(handle, 20) }).toEqual({
      exit: { exitCode: 65, outOfMemory: false, unknown: false },
      logs: [],
    });
    await real.destroy(handle);
  });

  it('bounds what it reads of a log', async () => {
    const talker = 'print("x" * 100_000)\nfor n in range(5000): print(n)\n';
    const task = harness.taskRunning(talker, { host });
    const handle = await started(driver, task);
    await driver.wait(handle, LONG);
    const lines = await driver.logs(handle, 3);
    expect(lines.map(({ text }) => text)).toEqual(['4997', '4998', '4999']);
    for (const { text } of await driver.logs(handle, 1000)) expect(text.length).toBeLessThanOrEqual(8192);
    await driver.destroy(handle);
  });

  it('asks the engine for no more than it must to bring up a bot', async () => {
    const proxy = await EngineProxy.start(harness.socketPath);
    const proxied = harness.driver(host, { socketPath: proxy.socketPath });
    // With the first one it learns what is there: networks, the image, the version.
    const first = await started(proxied, harness.task('runs', { host }));
    proxy.requests.length = 0;
    const second = await started(proxied, harness.task('runs', { host }));
    const controller = new AbortController();
    const waiting = expect(proxied.wait(second, controller.signal)).rejects.toThrow('enough');
    await waitFor(() => proxy.requests.some((request) => request.includes('/wait')));
    expect(proxy.requests.map((request) => request.replace(/\?.*/, '').replace(second.id, 'ID'))).toEqual([
      'POST /networks/create',
      'POST /volumes/create',
      'POST /containers/create',
      'POST /containers/ID/start',
      'POST /containers/ID/wait',
    ]);
    controller.abort(new Error('enough'));
    await waiting;
    await Promise.all([first, second].map((handle) => proxied.destroy(handle)));
    await proxy.stop();
  }, 180_000);

  it('never has more starts under way at the engine than it may', async () => {
    const proxy = await EngineProxy.start(harness.socketPath);
    const proxied = harness.driver(host, { socketPath: proxy.socketPath, startsParallelMax: 3 });
    const tasks = Array.from({ length: 8 }, () => harness.task('runs', { host }));
    await Promise.all(
      tasks.map(async (task) => {
        for (const step of steps) await proxied.prepare(step, task);
      }),
    );
    const handles = await Promise.all(tasks.map((task) => proxied.start(task)));
    expect(proxy.requests.filter((r) => r.endsWith('/start'))).toHaveLength(8);
    expect(proxy.parallelMax.get('POST /containers/ID/start')).toBeLessThanOrEqual(3);
    await Promise.all(handles.map((handle) => proxied.destroy(handle)));
    await proxy.stop();
  }, 180_000);

  it('says when the address pool is used up, and goes on when there is room again', async () => {
    // Somewhere in 10.202.0.0/15, where another run of this test hardly looks at the same time.
    const third = Math.floor(Math.random() * 256);
    const small = harness.driver(host, {
      addressPool: `10.202.${third}.${Math.floor(Math.random() * 16) * 16}/28`,
    });
    expect((await small.fingerprint()).capacity.bots).toBe(2);
    const tasks = [1, 2, 3].map(() => harness.task('runs', { host }));
    const outcomes = await Promise.allSettled(tasks.map((task) => small.prepare('network', task)));
    const [refused, ...more] = outcomes.filter((o) => o.status === 'rejected');
    expect(more).toEqual([]);
    expect(refused?.reason).toEqual(faulty('no-capacity', true));
    const first = outcomes.findIndex((o) => o.status === 'fulfilled');
    for (const [index, task] of tasks.entries()) if (index === first) await small.discard(task);
    for (const [index, task] of tasks.entries()) if (index !== first) await small.prepare('network', task);
    for (const task of tasks) await small.discard(task);
  });

  it('adopts the container that the engine made although the call failed', async () => {
    const proxy = await EngineProxy.start(harness.socketPath);
    const proxied = harness.driver(host, { socketPath: proxy.socketPath });
    const task = harness.task('runs', { host });
    for (const step of ['image', 'network', 'volume'] as const) await proxied.prepare(step, task);
    proxy.judge = (_, path): Verdict => (path.startsWith('/containers/create') ? 'lose' : 'pass');
    await expect(proxied.prepare('create', task)).rejects.toEqual(faulty('engine-unavailable', true));
    proxy.judge = () => 'pass';
    await proxied.prepare('create', task);
    proxy.judge = (_, path): Verdict => (path.endsWith('/start') ? 'lose' : 'pass');
    await expect(proxied.start(task)).rejects.toEqual(faulty('engine-unavailable', true));
    proxy.judge = () => 'pass';
    const handle = await proxied.start(task);
    expect((await proxied.inspect(handle)).state).toBe('running');
    await proxied.destroy(handle);
    await proxy.stop();
  });

  it('keeps waiting and listening over breaks of the connection', async () => {
    const proxy = await EngineProxy.start(harness.socketPath);
    const proxied = harness.driver(host, { socketPath: proxy.socketPath });
    const [ends, vanishes] = [harness.task('runs', { host }), harness.task('runs', { host })];
    const [handle, other] = [await started(proxied, ends), await started(proxied, vanishes)];
    const events: TaskEvent[] = [];
    const controller = new AbortController();
    proxied.events((event) => events.push(event), controller.signal);
    const asked = (path: string): boolean => proxy.requests.some((request) => request.includes(path));
    const listed = (): boolean => proxy.answered.some((request) => request.includes('/containers/json'));
    const waiting = proxied.wait(handle, LONG);
    // The list that follows the opening of the stream is the last thing it does before it only listens.
    await waitFor(() => asked('/events') && listed() && asked('/wait'));
    await untilHandlesSignals(driver, handle);
    proxy.judge = (_, path): Verdict => (path.startsWith('/events') ? 'refuse' : 'pass');
    proxy.cut();
    await driver.stop(handle, 20_000);
    await driver.destroy(other);
    expect(await waiting).toMatchObject({ exitCode: 0, unknown: false });
    expect(events).toEqual([]);
    proxy.judge = () => 'pass';
    await waitFor(() => events.length >= 2, { timeoutMs: 30_000 });
    expect(events).toEqual(
      expect.arrayContaining([
        { kind: 'exited', allocation: ends.allocation, id: handle.id },
        { kind: 'destroyed', allocation: vanishes.allocation, id: other.id },
      ]),
    );
    controller.abort();
    await proxied.destroy(handle);
    await proxy.stop();
  });

  it('recovers its own containers only, and reports those it cannot read', async () => {
    const lonely = uniqueName('host');
    const here = harness.driver(lonely);
    const mine = harness.task('runs', { host: lonely });
    for (const step of steps) await here.prepare(step, mine);
    const create = async (labels: Record<string, string>): Promise<string> => {
      const Labels = { ...labelsOf(harness.task('runs', { host: lonely }), harness.fleet), ...labels };
      return (await harness.docker.createContainer({ Image: harness.image, Labels })).id;
    };
    await create({ [label.host]: uniqueName('host') });
    const otherFleet = await create({ [label.fleet]: uniqueName('fleet') });
    const future = await create({ [label.schema]: '2' });
    const broken = await create({ [label.epoch]: 'seven', [label.allocation]: 'x' });

    const { handles, unreadable } = await here.recover();
    expect(handles.map(({ allocation }) => allocation)).toEqual([mine.allocation]);
    expect(unreadable).toHaveLength(2);
    expect(unreadable).toContainEqual({ id: future, why: expect.stringContaining(label.schema) });
    expect(unreadable).toContainEqual({
      id: broken,
      why: expect.stringContaining(`${label.allocation}, ${label.epoch}`),
    });
    for (const task of unreadable) {
      await here.kill(task);
      await here.destroy(task);
    }
    expect((await here.recover()).unreadable).toEqual([]);
    await harness.docker.getContainer(otherFleet).remove();
    await here.discard(mine);
  });

  it('does not take over what is not its own', async () => {
    const task = harness.task('runs', { host });
    const foreign = await harness.docker.createContainer({
      name: `bot-${task.account}`,
      Image: harness.image,
    });
    await expect(driver.prepare('create', task)).rejects.toEqual(faulty('name-taken', false));
    await driver.discard(task);
    await foreign.remove();

    await driver.prepare('volume', task);
    const stranger = harness.task('runs', { host, account: task.account });
    await expect(driver.prepare('volume', stranger)).rejects.toEqual(faulty('engine-refused', false));
    const misplaced = harness.task('runs');
    await expect(driver.prepare('create', misplaced)).rejects.toEqual(faulty('engine-refused', false));
  });

  it('removes a volume only when nobody has it, and never one that is prepared', async () => {
    const task = harness.task('runs', { host });
    const earlier = harness.driver(host);
    await earlier.prepare('volume', task);
    const name = `tf.${harness.fleet}.${task.account}`;
    const volumeOf = async (of: DockerDriver) =>
      (await of.stores.survey()).volumes.find((volume) => volume.name === name);
    expect(await volumeOf(earlier)).toMatchObject({ account: task.account, inUse: true });

    const later = harness.driver(host);
    expect(await volumeOf(later)).toMatchObject({ inUse: false });
    const volume = { name, account: task.account, inUse: false };
    for (const step of ['network', 'create'] as const) await earlier.prepare(step, task);
    expect(await volumeOf(later)).toMatchObject({ inUse: true });
    expect(await later.stores.removeVolume(volume)).toBe(false);
    await earlier.discard(task);
    // Removed and prepared at the same moment: it is there afterwards, and ours.
    const [removed] = await Promise.all([later.stores.removeVolume(volume), later.prepare('volume', task)]);
    expect(removed).toBe(true);
    expect((await harness.docker.getVolume(name).inspect()).Labels).toMatchObject({
      [label.account]: task.account,
    });
    expect(await later.stores.removeVolume(volume)).toBe(false);
  });

  it('tells of containers that are called like bots and are not of its fleet, and never touches them', async () => {
    const account = uniqueName('account');
    const nameless = await harness.docker.createContainer({ name: `bot-${account}`, Image: harness.image });
    const other = await harness.docker.createContainer({
      ...{ name: `bot-${account}-2`, Image: harness.image },
      Labels: { [label.fleet]: 'another-fleet', [label.host]: host },
    });
    const { foreign } = await driver.stores.survey();
    expect(foreign).toContainEqual({ id: nameless.id, name: `bot-${account}`, why: expect.any(String) });
    expect(foreign).toContainEqual({
      ...{ id: other.id, name: `bot-${account}-2` },
      why: expect.stringContaining('another-fleet'),
    });
    const { handles, unreadable } = await driver.recover();
    expect([...handles, ...unreadable].map(({ id }) => id)).not.toContain(other.id);
    await nameless.remove();
    await other.remove();
  });

  it('keeps the volume of an account from one allocation to the next', async () => {
    const writes = 'open("/config/kept", "x").close()';
    const reads = 'open("/config/kept").close()';
    const first = harness.taskRunning(writes, { host });
    const second = harness.taskRunning(reads, {
      host,
      account: first.account,
      tenant: first.tenant,
      epoch: 2,
    });
    for (const task of [first, second]) {
      const handle = await started(driver, task);
      expect((await driver.wait(handle, LONG)).exitCode).toBe(0);
      await driver.destroy(handle);
    }
  });

  it('does without an image it may not fetch, and says what to do', async () => {
    const task = harness.task('runs', { host });
    const absent = `127.0.0.1:1/${uniqueName('absent')}`;
    const digest = `sha256:${'0'.repeat(64)}`;
    const without = harness.driver(host, { images: { paper: `${absent}:1` }, pull: true });
    await expect(without.prepare('image', task)).rejects.toEqual(faulty('image-missing', false));
    expect((await without.fingerprint()).runtimes).toEqual([]);
    await expect(without.prepare('image', { ...task, runtime: 'mt5' })).rejects.toThrow('runtime mt5');
    const pulling = harness.driver(host, { images: { paper: `${absent}@${digest}` }, pull: true });
    expect((await pulling.fingerprint()).runtimes).toEqual(['paper']);
    await expect(pulling.prepare('image', task)).rejects.toEqual(faulty('image-missing', true));
    expect(() => harness.driver(host, { images: { paper: 'paper-bot:latest' } })).toThrow('may change');
    expect(() => harness.driver(host, { addressPool: '10.0.0.0/30' })).toThrow('address pool');
  });
});

/** Looks at its own cage from the inside, as far as a bot could. */
const PROBE = `
import errno, json, os, resource, socket
out = {}
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
out["uid"] = [int(n) for n in status["Uid"].split()][:3]
out["gid"] = [int(n) for n in status["Gid"].split()][:3]
out["groups"] = sorted({os.getgid(), *os.getgroups()})
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    out[name] = int(status[name], 16)
out["NoNewPrivs"] = int(status["NoNewPrivs"])
out["Seccomp"] = int(status["Seccomp"])
out["core"] = list(resource.getrlimit(resource.RLIMIT_CORE))
out["nofile"] = list(resource.getrlimit(resource.RLIMIT_NOFILE))
out["oom_score_adj"] = open("/proc/self/oom_score_adj").read().strip()
out["tcp_retries2"] = open("/proc/sys/net/ipv4/tcp_retries2").read().strip()
out["hostname"] = socket.gethostname()

def attempt(action):
    try:
        action()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def write(path):
    with open(path, "w") as file:
        file.write("#!/bin/true\\n")

out["root_write"] = attempt(lambda: write("/opt/x"))
out["run_dir_write"] = attempt(lambda: write("/run/tradefleet/x"))
out["etc_hosts_write"] = attempt(lambda: os.utime("/etc/hosts"))
out["config_write"] = attempt(lambda: write("/config/x"))
out["tmp_write"] = attempt(lambda: write("/tmp/x"))
os.chmod("/tmp/x", 0o755)
out["tmp_exec"] = attempt(lambda: os.execv("/tmp/x", ["x"]))
tmp = os.statvfs("/tmp")
out["tmp_size_MiB"] = tmp.f_blocks * tmp.f_frsize // 2**20
try:
    out["ipv6"] = sorted({line.split()[-1] for line in open("/proc/net/if_inet6")}) or ["lo"]
except FileNotFoundError:
    out["ipv6"] = ["lo"]

def reaches(address):
    # An answer of any kind, a refusal too, means that packets arrive.
    try:
        socket.create_connection(address, timeout=2).close()
        return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False

own = next(line.split()[0] for line in open("/etc/hosts") if socket.gethostname() in line)
gateway = ".".join(own.split(".")[:3]) + "." + str(int(own.split(".")[3]) // 8 * 8 + 1)
out["reaches_host"] = reaches((gateway, 22))
try:
    out["finds_names"] = bool(socket.getaddrinfo("example.com", 80))
except OSError:
    out["finds_names"] = False
with open("/run/tradefleet/out/report.json", "w") as file:
    json.dump(out, file)
`;
