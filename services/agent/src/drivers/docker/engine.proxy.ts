import { Agent, createServer, request, type IncomingMessage, type Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What to do with one request of the driver. */
export type Verdict = 'pass' | 'refuse' | 'swallow' | 'lose' | 'break';
export type Judge = (method: string, path: string) => Verdict;

/**
 * Stands between driver and engine for tests of what goes wrong between them: passes requests on, refuses them, never answers them,
 * loses the answer, or breaks the connection in the middle of it. Notes what passes at the same time.
 */
export class EngineProxy {
  readonly requests: string[] = [];
  /** Those whose answer has been passed back in full. */
  readonly answered: string[] = [];
  /** The most requests of one kind that were under way at once, by "METHOD /path" with ids left out. */
  readonly parallelMax = new Map<string, number>();
  judge: Judge = () => 'pass';
  private readonly underWay = new Map<string, number>();
  private readonly sockets = new Set<Socket>();
  private readonly dir = mkdtempSync(join(tmpdir(), 'tradefleet-proxy-'));
  readonly socketPath = join(this.dir, 'docker.sock');
  private readonly server: Server;
  private readonly agent = new Agent({ keepAlive: false });

  private constructor(private readonly engine: string | null) {
    this.server = createServer((incoming, outgoing) => {
      const method = incoming.method ?? '';
      const path = incoming.url ?? '';
      this.requests.push(`${method} ${path}`);
      const verdict = this.judge(method, path);
      if (verdict === 'refuse') outgoing.destroy();
      if (verdict === 'refuse' || verdict === 'swallow' || this.engine === null) return;
      const kind = `${method} ${path.replace(/\?.*/, '').replace(/[0-9a-f]{12,}/, 'ID')}`;
      this.count(kind, 1);
      const onward = request({
        socketPath: this.engine,
        method,
        path,
        headers: incoming.headers,
        agent: this.agent,
      });
      outgoing.on('finish', () => this.answered.push(`${method} ${path}`));
      const done = (): void => void onward.destroy();
      outgoing.on('close', () => {
        this.count(kind, -1);
        done();
      });
      onward.on('error', () => outgoing.destroy());
      onward.on('response', (answer: IncomingMessage) => {
        if (verdict === 'lose') {
          outgoing.destroy();
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        outgoing.flushHeaders();
        if (verdict === 'break') outgoing.destroy();
        else answer.pipe(outgoing);
      });
      // In one piece: an engine that has its answer before the last piece came closes, and the answer is lost.
      const body: Buffer[] = [];
      incoming.on('data', (piece: Buffer) => body.push(piece));
      incoming.on('end', () => onward.end(Buffer.concat(body)));
    });
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  /** @param engine socket of the real one, or null for one that never answers anything */
  static async start(engine: string | null): Promise<EngineProxy> {
    const proxy = new EngineProxy(engine);
    await new Promise<void>((resolve) => proxy.server.listen(proxy.socketPath, resolve));
    return proxy;
  }

  /** Breaks every connection, as the end of the engine does. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.cut();
    await closed;
    rmSync(this.dir, { recursive: true, force: true });
  }

  private count(kind: string, change: 1 | -1): void {
    const now = (this.underWay.get(kind) ?? 0) + change;
    this.underWay.set(kind, now);
    this.parallelMax.set(kind, Math.max(now, this.parallelMax.get(kind) ?? 0));
  }
}
