import { GatewayClient } from '#libs/client';
import {
  api,
  type ApiName,
  type ApiRequest,
  type ApiResponse,
  type EventExport,
  newId,
  ProblemError,
} from '#libs/contracts';
import type { z } from 'zod';
import type { GatewaySettings } from './gateway.settings.js';
import type { Printer } from './output/printer.js';
import type { Surroundings } from './surroundings.js';

/** Tries of one request; only what can be repeated without harm is. */
const tries_max = 3;
const between_tries_ms = 500;
const page_rows = 500;

/** Lists and the field of their pages. */
interface Lists {
  'tenants.list': 'tenants';
  'accounts.list': 'accounts';
  'bots.list': 'bots';
  'hosts.list': 'hosts';
  'moves.list': 'moves';
  'operations.list': 'operations';
  'rollouts.list': 'rollouts';
  'events.query': 'events';
  'producers.list': 'producers';
  'gaps.list': 'gaps';
  'quarantine.list': 'messages';
  'archives.list': 'archives';
  'holds.list': 'holds';
  'security.events': 'events';
  'security.unusual': 'activity';
}
type Row<N extends keyof Lists> = ApiResponse<N> extends Record<Lists[N], (infer R)[]> ? R : never;

/** The gateway, with the habits of a careful client: one idempotency key a write, and the same one when it is tried again. */
export class FleetGateway {
  private readonly client: GatewayClient;
  readonly url: string;

  constructor(
    settings: GatewaySettings,
    private readonly surroundings: Pick<Surroundings, 'clock' | 'interrupted'>,
    private readonly printer: Printer,
  ) {
    this.url = settings.url;
    this.client = new GatewayClient(settings);
  }

  /**
   * One operation. A write gets an idempotency key unless it has one, so that trying again after silence is safe.
   * Throws `ProblemError`.
   */
  async call<N extends ApiName>(
    name: N,
    request: ApiRequest<N>,
    options: { timeout_ms?: number } = {},
  ): Promise<ApiResponse<N>> {
    const keyed = withKey(name, request);
    const parsed = api[name].request.safeParse(keyed);
    if (!parsed.success) throw ProblemError.fromZod(parsed.error, `the request of ${name}`);
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.client.call(name, keyed, options);
      } catch (error) {
        if (!(await this.mayTryAgain(name, error, tried))) throw told(error, keyed);
      }
    }
  }

  /** The first `rows_max` rows of a list, page by page. */
  async list<N extends keyof Lists>(
    name: N,
    field: Lists[N],
    request: Omit<ApiRequest<N>, 'limit' | 'after'>,
    rows_max: number,
  ): Promise<Row<N>[]> {
    const rows: Row<N>[] = [];
    let after: string | null = null;
    do {
      const limit = Math.min(page_rows, rows_max - rows.length);
      const page: Record<string, unknown> & { next: string | null } = await this.call(name, {
        ...request,
        limit,
        ...(after === null ? {} : { after }),
      } as ApiRequest<N>);
      rows.push(...(page[field] as Row<N>[]));
      after = page.next;
    } while (after !== null && rows.length < rows_max);
    return rows;
  }

  setPassword(account: string, password: string): Promise<void> {
    return this.client.setPassword(account, password);
  }

  logs(bot: string, lines: number): Promise<{ at: string; stream: string; text: string }[]> {
    return this.client.logs(bot, lines);
  }

  /** Throws `ProblemError` for an export that is cut short. */
  exportEvents(request: z.input<typeof EventExport>, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.client.exportEvents(request, signal);
  }

  readiness(): Promise<Record<string, string>> {
    return this.client.readiness();
  }

  private async mayTryAgain(name: ApiName, error: unknown, tried: number): Promise<boolean> {
    // Silence leaves open whether the request was carried out; what is not there can be waited for by the caller.
    if (!(error instanceof ProblemError) || error.code !== 'timeout' || tried >= tries_max) return false;
    if (!isRead(name) && !hasKey(name)) return false;
    this.printer.note(`${name}: no answer in time; trying again`);
    await this.surroundings.clock.sleep(between_tries_ms * tried, this.surroundings.interrupted);
    return true;
  }
}

/** What a request may be answered while a service restarts. */
export const isPassing = (error: unknown): boolean =>
  error instanceof ProblemError && (error.code === 'unavailable' || error.code === 'timeout');

const isRead = (name: ApiName): boolean => api[name].http.method === 'GET' || name === 'fleet.plan';

/** Whether the operation takes an idempotency key. */
function hasKey(name: ApiName): boolean {
  return Object.hasOwn((api[name].request as z.ZodObject).shape, 'idempotencyKey');
}

function withKey<N extends ApiName>(name: N, request: ApiRequest<N>): ApiRequest<N> {
  const given = request as { idempotencyKey?: string };
  return hasKey(name) && given.idempotencyKey === undefined
    ? { ...request, idempotencyKey: newId() }
    : request;
}

/** Tells, where a write has stayed without an answer, how to ask for the same one again. */
function told(error: unknown, request: object): unknown {
  const { idempotencyKey } = request as { idempotencyKey?: string };
  if (!(error instanceof ProblemError) || error.code !== 'timeout' || idempotencyKey === undefined)
    return error;
  return new ProblemError(
    'timeout',
    `${error.detail} It may have been carried out all the same: the command with --idempotency-key ${idempotencyKey} does it at most once.`,
    { cause: error },
  );
}
