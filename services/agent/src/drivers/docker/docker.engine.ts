import type { Readable } from 'node:stream';
import type { z } from 'zod';
import { DriverError, type LogLine } from '../driver.js';
import type { ContainerSpec } from './container-spec.js';
import * as answers from './engine-answers.js';
import { EngineTransport, type EngineCall } from './engine-transport.js';
import { lastLines } from './log-stream.js';
import { jsonLines } from './json-lines.js';

/** How long each kind of call may take, milliseconds. A loaded engine starts a container in up to 8 s (moby#42096). */
export interface EngineTimeouts {
  readonly look_ms: number;
  readonly change_ms: number;
  readonly pull_ms: number;
}

export const defaultTimeouts: EngineTimeouts = { look_ms: 10_000, change_ms: 45_000, pull_ms: 15 * 60_000 };

/** A pull that reports no progress for so long has stalled. */
const PULL_SILENCE_MS = 60_000;

type Filters = Readonly<Record<string, readonly string[]>>;

export interface NetworkRequest {
  readonly name: string;
  readonly subnet: string;
  readonly internal: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * The calls of the Docker Engine that this driver needs, typed. Answers a caller may meet in good order (not there,
 * there already, ends already) are values; all else is a `DriverError`.
 */
export class DockerEngine {
  private readonly transport: EngineTransport;

  constructor(
    socketPath: string,
    private readonly timeouts: EngineTimeouts = defaultTimeouts,
  ) {
    this.transport = new EngineTransport(socketPath);
  }

  close(): void {
    this.transport.close();
  }

  async version(): Promise<z.infer<typeof answers.Version>> {
    const { body } = await this.look('tell its version', '/version');
    return read(answers.Version, body, 'version');
  }

  async info(): Promise<answers.Info> {
    const { body } = await this.look('tell what it has', '/info');
    return read(answers.Info, body, 'info');
  }

  /** The image's id, or null when the engine does not have it. */
  async image(reference: string): Promise<string | null> {
    const path = `/images/${encodeURI(reference)}/json`;
    const { status, body } = await this.look(`look for image ${reference}`, path, { prepared: [404] });
    return status === 404 ? null : read(answers.Image, body, 'image').Id;
  }

  /** Fetches an image from its registry. */
  async pull(reference: string): Promise<void> {
    const call: EngineCall = {
      what: `pull ${reference}`,
      method: 'POST',
      path: '/images/create',
      query: { fromImage: reference },
      timeout_ms: this.timeouts.pull_ms,
    };
    await this.transport.stream(call, async (bytes) => {
      for await (const progress of jsonLines(bytes, PULL_SILENCE_MS)) {
        if (typeof progress === 'object' && progress !== null && 'error' in progress) {
          throw new DriverError(
            'image-missing',
            `${reference}: ${String(progress.error).slice(0, 300)}`,
            true,
          );
        }
      }
    });
  }

  async networks(filters?: Filters): Promise<answers.Network[]> {
    const query = filters === undefined ? {} : { query: { filters } };
    const { body } = await this.look('list networks', '/networks', query);
    return read(answers.Network.array(), body, 'networks');
  }

  async network(idOrName: string): Promise<answers.Network | null> {
    const path = `/networks/${idOrName}`;
    const { status, body } = await this.look('look at a network', path, { prepared: [404] });
    return status === 404 ? null : read(answers.Network, body, 'network');
  }

  async createNetwork(request: NetworkRequest): Promise<'created' | 'exists' | 'overlap'> {
    const { status, message } = await this.change('create a network', 'POST', '/networks/create', {
      body: {
        Name: request.name,
        // Engines before API 1.44 allow a name twice unless asked not to.
        CheckDuplicate: true,
        Driver: 'bridge',
        Internal: request.internal,
        EnableIPv6: false,
        IPAM: { Driver: 'default', Config: [{ Subnet: request.subnet }] },
        Options: {
          'com.docker.network.bridge.enable_icc': 'false',
          // Without an address on the bridge the bot cannot reach what listens on the host either.
          ...(request.internal ? { 'com.docker.network.bridge.inhibit_ipv4': 'true' } : {}),
        },
        Labels: request.labels,
      },
      prepared: [403, 409],
    });
    if (status === 409) return 'exists';
    if (status === 200) return 'created';
    if (/overlap|conflict/i.test(message)) return 'overlap';
    throw new DriverError('engine-refused', `the Docker Engine did not create a network: ${message}`, false);
  }

  /** `in-use`: something is still attached. */
  async removeNetwork(id: string): Promise<'gone' | 'in-use'> {
    const { status } = await this.change('remove a network', 'DELETE', `/networks/${id}`, {
      prepared: [403, 404],
    });
    return status === 403 ? 'in-use' : 'gone';
  }

  async disconnect(networkId: string, containerId: string): Promise<void> {
    await this.change('detach from a network', 'POST', `/networks/${networkId}/disconnect`, {
      body: { Container: containerId, Force: true },
      prepared: [404, 500],
    });
  }

  async volumes(filters: Filters): Promise<answers.Volume[]> {
    const { body } = await this.look('list volumes', '/volumes', { query: { filters } });
    return read(answers.VolumeList, body, 'volumes').Volumes ?? [];
  }

  /** `in-use`: a container has it, running or not. */
  async removeVolume(name: string): Promise<'gone' | 'in-use'> {
    const { status } = await this.change('remove a volume', 'DELETE', `/volumes/${name}`, {
      prepared: [404, 409],
    });
    return status === 409 ? 'in-use' : 'gone';
  }

  /** `in-use`: a container was made of it. */
  async removeImage(reference: string): Promise<'gone' | 'in-use'> {
    const { status } = await this.change('remove an image', 'DELETE', `/images/${encodeURI(reference)}`, {
      prepared: [404, 409],
    });
    return status === 409 ? 'in-use' : 'gone';
  }

  /** Creates the volume unless it is there; returns the one that is there. */
  async volume(name: string, labels: Readonly<Record<string, string>>): Promise<answers.Volume> {
    const { body } = await this.change('create a volume', 'POST', '/volumes/create', {
      body: { Name: name, Driver: 'local', Labels: labels },
    });
    const answer = read(answers.Volume, body, 'volume');
    if (answer.Labels != null) return answer;
    // Of a volume older than its own start, Engine 20.10 says the labels only when it is looked at.
    const looked = await this.look('look at a volume', `/volumes/${name}`);
    return read(answers.Volume, looked.body, 'volume');
  }

  async createContainer(
    name: string,
    spec: ContainerSpec,
  ): Promise<{ readonly id: string; readonly warnings: readonly string[] } | 'name-taken'> {
    const { status, body } = await this.change(`create ${name}`, 'POST', '/containers/create', {
      query: { name },
      body: spec,
      prepared: [409],
    });
    if (status === 409) return 'name-taken';
    const { Id: id, Warnings } = read(answers.Created, body, 'create');
    return { id, warnings: Warnings ?? [] };
  }

  async container(idOrName: string, signal?: AbortSignal): Promise<answers.Container | null> {
    const path = `/containers/${idOrName}/json`;
    const more = { prepared: [404], ...(signal === undefined ? {} : { signal }) };
    const { status, body } = await this.look('look at a container', path, more);
    return status === 404 ? null : read(answers.Container, body, 'container');
  }

  async containers(filters: Filters): Promise<answers.ContainerList> {
    const { body } = await this.look('list containers', '/containers/json', {
      query: { all: true, filters },
    });
    return read(answers.ContainerList, body, 'containers');
  }

  /** Throws `task-missing` when there is no such container. */
  async start(id: string): Promise<void> {
    await this.change('start a container', 'POST', `/containers/${id}/start`);
  }

  /**
   * Waits until the container is not running, at most `limit_ms`. `next-exit` waits also for one not yet started.
   * Rejects when the connection breaks.
   */
  async awaitExit(
    id: string,
    condition: 'not-running' | 'next-exit',
    limit_ms: number,
    signal?: AbortSignal,
  ): Promise<'ended' | 'still-running' | 'missing'> {
    try {
      const { status } = await this.transport.ask({
        what: 'tell when a container ends',
        method: 'POST',
        path: `/containers/${id}/wait`,
        query: { condition },
        timeout_ms: limit_ms,
        prepared: [404],
        ...(signal === undefined ? {} : { signal }),
      });
      return status === 404 ? 'missing' : 'ended';
    } catch (error) {
      if (error instanceof DriverError && error.fault === 'engine-timeout') return 'still-running';
      throw error;
    }
  }

  /** SIGTERM, SIGKILL after the grace; resolves when it is dead or gone. The engine counts in seconds. */
  async stop(id: string, graceMs: number): Promise<void> {
    const grace_s = Math.ceil(graceMs / 1000);
    await this.change('stop a container', 'POST', `/containers/${id}/stop`, {
      query: { t: grace_s },
      prepared: [404],
      extra_ms: grace_s * 1000,
    });
  }

  /** Sends SIGKILL; nothing to do when it does not run or is gone. */
  async kill(id: string): Promise<void> {
    await this.change('kill a container', 'POST', `/containers/${id}/kill`, {
      query: { signal: 'SIGKILL' },
      prepared: [404, 409],
    });
  }

  /** `busy`: it runs and was not to be forced, or a removal is under way. */
  async removeContainer(id: string, force: boolean): Promise<'gone' | 'busy'> {
    const { status } = await this.change('remove a container', 'DELETE', `/containers/${id}`, {
      // `v` takes anonymous volumes along, never named ones.
      query: { force, v: true },
      prepared: [404, 409],
    });
    return status === 409 ? 'busy' : 'gone';
  }

  /** One sample, without the second that the engine else takes to measure by itself. */
  async usage(id: string): Promise<answers.Usage> {
    const path = `/containers/${id}/stats`;
    const { body } = await this.look('measure a container', path, {
      query: { stream: false, 'one-shot': true },
    });
    return read(answers.Usage, body, 'stats');
  }

  async logs(id: string, lines: number): Promise<LogLine[]> {
    const call: EngineCall = {
      what: 'read a log',
      method: 'GET',
      path: `/containers/${id}/logs`,
      query: { stdout: true, stderr: true, timestamps: true, tail: lines },
      timeout_ms: this.timeouts.look_ms,
    };
    return this.transport.stream(call, (bytes) => lastLines(bytes as AsyncIterable<Buffer>, lines));
  }

  /** Calls back for each event until the connection ends or the signal aborts; `onOpen` once it is listening. */
  async events(
    filters: Filters,
    onOpen: () => Promise<void>,
    onEvent: (event: answers.EngineEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const call: EngineCall = {
      what: 'report events',
      method: 'GET',
      path: '/events',
      query: { filters },
      timeout_ms: this.timeouts.look_ms,
      endless: true,
      signal,
    };
    await this.transport.stream(call, async (bytes: Readable) => {
      await onOpen();
      for await (const line of jsonLines(bytes, null)) onEvent(read(answers.EngineEvent, line, 'event'));
    });
  }

  /** Whether such an event is remembered (the engine keeps 256) or still comes before `until_ms`, wall clock. */
  async hadEvent(filters: Filters, since_ms: number, until_ms: number): Promise<boolean> {
    const seconds = (ms: number): string => (ms / 1000).toFixed(3);
    const call: EngineCall = {
      what: 'tell past events',
      method: 'GET',
      path: '/events',
      query: { filters, since: seconds(since_ms), until: seconds(until_ms) },
      timeout_ms: this.timeouts.look_ms,
    };
    return this.transport.stream(call, async (bytes) => {
      for await (const line of jsonLines(bytes, null)) {
        read(answers.EngineEvent, line, 'event');
        return true;
      }
      return false;
    });
  }

  private look(
    what: string,
    path: string,
    more: Pick<EngineCall, 'query' | 'prepared' | 'signal'> = {},
  ): ReturnType<EngineTransport['ask']> {
    return this.transport.ask({ what, method: 'GET', path, timeout_ms: this.timeouts.look_ms, ...more });
  }

  private change(
    what: string,
    method: 'POST' | 'DELETE',
    path: string,
    { extra_ms = 0, ...more }: Pick<EngineCall, 'query' | 'body' | 'prepared'> & { extra_ms?: number } = {},
  ): ReturnType<EngineTransport['ask']> {
    return this.transport.ask({
      what,
      method,
      path,
      timeout_ms: this.timeouts.change_ms + extra_ms,
      ...more,
    });
  }
}

function read<T>(schema: z.ZodType<T>, body: unknown, what: string): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
  const text = `the Docker Engine's answer to "${what}" is not as expected (${fields})`;
  throw new DriverError('engine-refused', text, true, { cause: parsed.error });
}
