import { createWriteStream, type WriteStream } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '#libs/clock';
import { Order, OrderOracle, type Overlap } from './order.oracle.js';

export interface BrokerServerOptions {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  /** Every order and what it proved, one JSON a line. */
  readonly ordersFile: string;
  readonly onOverlap: (overlap: Overlap) => void;
}

const line_bytes_max = 4096;
const connections_max = 1000;

/** The broker of all accounts: takes every order over TCP, stamps it with its own clock, and answers. */
export class BrokerServer {
  readonly oracle = new OrderOracle();
  private readonly sockets = new Set<Socket>();
  private readonly stalls = monitorEventLoopDelay({ resolution: 10 });
  private malformed_ = 0;
  private late_ms_max_ = 0;

  private constructor(
    private readonly options: BrokerServerOptions,
    private readonly clock: Clock,
    private readonly file: WriteStream,
    private readonly server: Server,
  ) {
    this.stalls.enable();
  }

  static async start(options: BrokerServerOptions, clock: Clock): Promise<BrokerServer> {
    const server = createServer({ noDelay: true });
    server.maxConnections = connections_max;
    const broker = new BrokerServer(
      options,
      clock,
      createWriteStream(options.ordersFile, { mode: 0o600 }),
      server,
    );
    server.on('connection', (socket) => broker.talk(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: options.host, port: options.port }, resolve);
    });
    return broker;
  }

  get port(): number {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('The broker does not listen.');
    return address.port;
  }

  /** Lines that were no orders. */
  get malformed(): number {
    return this.malformed_;
  }

  /** The longest time from a bot's sending to the arrival of the order. Both read the clock of this machine. */
  get late_ms_max(): number {
    return this.late_ms_max_;
  }

  /** The longest time in which orders could not be stamped: what arrived meanwhile may be in another order. */
  get stall_ms_max(): number {
    return this.stalls.max / 1e6;
  }

  async stop(): Promise<void> {
    this.stalls.disable();
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    await new Promise<void>((resolve) => this.file.end(resolve));
  }

  private talk(socket: Socket): void {
    this.sockets.add(socket);
    socket.setEncoding('utf8');
    let waiting = '';
    socket.on('data', (part: string) => {
      const at_ms = this.clock.monotonicMs();
      const lines = (waiting + part).split('\n');
      waiting = lines.pop() ?? '';
      for (const line of lines) this.take(line, at_ms, socket);
      if (waiting.length > line_bytes_max) socket.destroy();
    });
    // Bots drop their connections by resets: what broke is told by orders that do not come.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.sockets.delete(socket));
  }

  private take(line: string, at_ms: number, socket: Socket): void {
    const order = orderOf(line);
    if (order === null) {
      this.malformed_ += 1;
      socket.destroy();
      return;
    }
    const overlap = this.oracle.record(order, at_ms);
    this.late_ms_max_ = Math.max(this.late_ms_max_, this.clock.boottimeMs() - order.boottimeMs);
    this.file.write(
      `${JSON.stringify({ at_ms: Math.round(at_ms * 1000) / 1000, ...order, overlap: overlap?.kind })}\n`,
    );
    socket.write(`${JSON.stringify({ order: order.order })}\n`);
    if (overlap !== null) this.options.onOverlap(overlap);
  }
}

function orderOf(line: string): Order | null {
  if (line.length > line_bytes_max) return null;
  try {
    return Order.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null; // not even JSON: counted by the caller
  }
}
