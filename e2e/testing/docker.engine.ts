import { request } from 'node:http';
import { readServerLines } from './lines.js';
import { testDocker } from '#libs/testing';

/** The label that every container, network and volume of an installation carries. */
export const fleetLabel = 'io.tradefleet.fleet';
export const allocationLabel = 'io.tradefleet.allocation';

const answer_bytes_max = 16 * 1024 * 1024;
const timeout_ms = 20_000;

/** What the engine says of a container, as far as the scenarios look. */
export interface ContainerInspection {
  readonly Id: string;
  readonly Name: string;
  readonly Config: {
    readonly User: string;
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
    readonly Healthcheck?: { readonly Test: readonly string[] };
  };
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly StartedAt: string;
  };
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly Mounts: readonly { Type: string; Name?: string; Destination: string; RW: boolean }[];
  readonly NetworkSettings: {
    readonly Ports: Readonly<Record<string, unknown>>;
    readonly Networks: Readonly<Record<string, { readonly NetworkID: string }>>;
  };
}

export interface NetworkInspection {
  readonly Id: string;
  readonly Name: string;
  readonly Internal: boolean;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string }[] };
  readonly Containers: Readonly<Record<string, unknown>>;
}

/** The end of a container as the engine saw it. */
export interface ContainerEnd {
  readonly id: string;
  readonly allocation: string;
  readonly exitCode: number;
  /** Milliseconds since 1970. */
  readonly at_ms: number;
}

class EngineRefusal extends Error {
  constructor(
    call: string,
    readonly status: number,
    answer: string,
  ) {
    super(`${call}: ${status} ${answer}`);
  }
}

/** Asks the Docker Engine directly, with nothing of the agent's driver in between. */
export class DockerEngine {
  private readonly socketPath = testDocker().socketPath;

  /** Containers of an installation, running or not, newest first. */
  async containers(
    fleet: string,
  ): Promise<{ id: string; name: string; allocation: string; state: string }[]> {
    const listed = await this.get<
      { Id: string; Names: string[]; Labels: Record<string, string>; State: string }[]
    >(`/containers/json?all=true&filters=${filters({ label: [`${fleetLabel}=${fleet}`] })}`);
    return listed.map(({ Id, Names, Labels, State }) => ({
      id: Id,
      name: (Names[0] ?? '').replace(/^\//, ''),
      allocation: Labels[allocationLabel] ?? '',
      state: State,
    }));
  }

  /** Null for one that has gone, perhaps since it was listed. */
  async inspect(id: string): Promise<ContainerInspection | null> {
    try {
      return await this.get<ContainerInspection>(`/containers/${id}/json`);
    } catch (error) {
      if (error instanceof EngineRefusal && error.status === 404) return null;
      throw error;
    }
  }

  async network(id: string): Promise<NetworkInspection> {
    return this.get(`/networks/${id}`);
  }

  async networks(fleet: string): Promise<string[]> {
    const path = `/networks?filters=${filters({ label: [`${fleetLabel}=${fleet}`] })}`;
    return (await this.get<{ Name: string }[]>(path)).map(({ Name }) => Name);
  }

  /** Removes containers, networks and volumes of an installation, whatever state they are in. */
  async removeAllOf(fleet: string): Promise<void> {
    const label = filters({ label: [`${fleetLabel}=${fleet}`] });
    for (const { id } of await this.containers(fleet))
      await this.call('DELETE', `/containers/${id}?force=true`);
    for (const name of await this.networks(fleet)) await this.call('DELETE', `/networks/${name}`);
    const { Volumes } = await this.get<{ Volumes: { Name: string }[] | null }>(`/volumes?filters=${label}`);
    for (const { Name } of Volumes ?? []) await this.call('DELETE', `/volumes/${Name}`);
  }

  /** Notes every end of a container of the installation from now on, until the signal aborts. */
  async watchEnds(fleet: string, signal: AbortSignal): Promise<ContainerEnd[]> {
    const ends: ContainerEnd[] = [];
    const wanted = { type: ['container'], event: ['die'], label: [`${fleetLabel}=${fleet}`] };
    await readServerLines(this.socketPath, `/events?filters=${filters(wanted)}`, signal, (line) => {
      const { Actor, timeNano } = JSON.parse(line) as {
        Actor: { ID: string; Attributes: Record<string, string> };
        timeNano: number;
      };
      ends.push({
        id: Actor.ID,
        allocation: Actor.Attributes[allocationLabel] ?? '',
        exitCode: Number(Actor.Attributes['exitCode']),
        at_ms: timeNano / 1e6,
      });
    });
    return ends;
  }

  /** Makes an image that is like another but runs this instead of its bot. Gives its reference, to be removed. */
  async imageRunning(image: string, tag: string, entrypoint: readonly string[]): Promise<string> {
    const made = await this.call('POST', '/containers/create', { Image: image });
    const { Id } = JSON.parse(made) as { Id: string };
    const [repo] = image.split(':');
    const changes = encodeURIComponent(`ENTRYPOINT ${JSON.stringify(entrypoint)}`);
    try {
      await this.call(
        'POST',
        `/commit?container=${Id}&repo=${repo}&tag=${tag}&pause=false&changes=${changes}`,
      );
    } finally {
      await this.call('DELETE', `/containers/${Id}?force=true`);
    }
    return `${repo}:${tag}`;
  }

  async removeImage(reference: string): Promise<void> {
    await this.call('DELETE', `/images/${encodeURI(reference)}?force=true`);
  }

  private async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.call('GET', path)) as T;
  }

  private async call(method: string, path: string, body?: unknown): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const asked = request(
        { socketPath: this.socketPath, method, path, headers, timeout: timeout_ms },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => {
            text += chunk;
            if (text.length > answer_bytes_max) asked.destroy(new Error(`${path}: the answer is too long`));
          });
          answer.on('error', reject);
          answer.on('end', () => {
            if ((answer.statusCode ?? 500) < 300) resolve(text);
            else reject(new EngineRefusal(`${method} ${path}`, answer.statusCode ?? 0, text));
          });
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`${path}: the engine does not answer`)));
      asked.on('error', reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

const filters = (wanted: Record<string, string[]>): string => encodeURIComponent(JSON.stringify(wanted));
