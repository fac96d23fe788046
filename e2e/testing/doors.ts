import { toHttpRequest } from '#libs/client';
import { api, type ApiName, apiSubject } from '#libs/contracts';
import type { FleetHarness } from './fleet.harness.js';
import type { StockClient } from './stock.client.js';

/** What a door answered. */
export type DoorAnswer =
  | { readonly ok: true; readonly result: Record<string, unknown> }
  | { readonly ok: false; readonly problem: DoorProblem };

export interface DoorProblem {
  readonly code: string;
  readonly detail: string;
  readonly status: number;
  readonly title: string;
  readonly retry: boolean;
}

/** One of the two ways into the platform. */
export interface Door {
  /** An operation with fields that can at least be written down. */
  call(name: ApiName, request: Record<string, unknown>): Promise<DoorAnswer>;
  /** The same with a body as it stands; for operations without fields in their path. */
  raw(name: ApiName, body: string): Promise<DoorAnswer>;
}

/** Plain JSON over NATS. */
export class NatsDoor implements Door {
  constructor(private readonly client: StockClient) {}

  async call(name: ApiName, request: Record<string, unknown>): Promise<DoorAnswer> {
    return this.raw(name, JSON.stringify(request));
  }

  async raw(name: ApiName, body: string): Promise<DoorAnswer> {
    return (await this.client.send(apiSubject(name), body)) as DoorAnswer;
  }
}

const answer_ms_max = 15_000;

/** REST with `fetch`. */
export class HttpDoor implements Door {
  constructor(private readonly fleet: FleetHarness) {}

  async call(name: ApiName, request: Record<string, unknown>): Promise<DoorAnswer> {
    const { method, path, headers, body } = toHttpRequest(name, request);
    return this.fetch(path, { method, headers, body });
  }

  async raw(name: ApiName, body: string): Promise<DoorAnswer> {
    const { method, path } = api[name].http;
    return this.fetch(`/api/v1${path}`, { method, headers: { 'content-type': 'application/json' }, body });
  }

  /** Any request; `authorization` is the admin token unless it is given. */
  async fetch(path: string, init: RequestInit): Promise<DoorAnswer> {
    const headers = new Headers(init.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${this.fleet.token}`);
    const response = await fetch(new URL(path, this.fleet.gatewayUrl), {
      ...init,
      headers,
      signal: AbortSignal.timeout(answer_ms_max),
    });
    const content = (await response.json()) as Record<string, unknown>;
    if (response.ok) return { ok: true, result: content };
    const type = response.headers.get('content-type') ?? '';
    if (!type.startsWith('application/problem+json')) throw new Error(`A refusal came as ${type}`);
    const problem = content as unknown as DoorProblem;
    if (problem.status !== response.status)
      throw new Error(`The status is ${response.status}, the problem says ${problem.status}`);
    return { ok: false, problem };
  }
}
