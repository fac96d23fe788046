import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BotFile, ControlFile, CredentialsFile, Id, LeaseFile, StatusFile, limits } from '#libs/contracts';
import { file_bytes_max, readUntrusted, writeAtomically, type FileOwner } from './atomic-file.js';

/** What the bot may read and nobody may write. */
const read_only = 0o444;
/** What the bot alone may read. */
const secret = 0o400;
const removal_ms_max = 60_000;

/**
 * The runtime directories of this host's allocations:
 *
 *   <root>/<allocation>/                0750 agent:bot   the container's /run/tradefleet, mounted read-only
 *     bot.json lease.json control.json  0444 agent
 *     credentials.json                  0400 bot         until the bot has logged in
 *     out/                              0700 bot         mounted writable; what is in it is not trusted
 *     out/status.json
 *
 * With `owner` null (the bot runs as the agent's own user) nothing changes hands.
 */
export class RunDirectories {
  constructor(
    private readonly root: string,
    private readonly owner: FileOwner | null,
  ) {}

  /** Directory of an allocation, whether or not it is there. */
  path(allocation: string): string {
    return join(this.root, Id.parse(allocation));
  }

  outPath(allocation: string): string {
    return join(this.path(allocation), 'out');
  }

  /** Makes the directory with all that is no secret; again if need be. */
  async make(bot: BotFile): Promise<void> {
    const path = this.path(bot.allocation);
    await mkdir(path, { recursive: true, mode: 0o700 });
    // The agent keeps the directory and the bot's group passes through.
    if (this.owner !== null) await chown(path, process.getuid?.() ?? 0, this.owner.gid);
    await chmod(path, this.owner === null ? 0o700 : 0o750);
    const out = this.outPath(bot.allocation);
    await mkdir(out, { recursive: true, mode: 0o700 });
    if (this.owner !== null) await chown(out, this.owner.uid, this.owner.gid);
    await this.#write(bot.allocation, 'bot.json', BotFile.parse(bot), read_only);
    // One that is there counts on: the kill switch stays where it is when the bot is begun again.
    if (await this.#exists(bot.allocation, 'control.json')) return;
    const control = {
      schema: 1,
      trading: 'enabled',
      reason: 'started',
      by: 'service:agent',
      sequence: 0,
    } as const;
    await this.#write(bot.allocation, 'control.json', ControlFile.parse(control), read_only);
  }

  async writeLease(lease: LeaseFile): Promise<void> {
    await this.#write(lease.allocation, 'lease.json', LeaseFile.parse(lease), read_only);
  }

  /** The lease the container goes by; null when there is none that can be read. */
  async readLease(allocation: string): Promise<LeaseFile | null> {
    const text = await readUntrusted(join(this.path(allocation), 'lease.json'), file_bytes_max);
    if (text === null) return null;
    const lease = LeaseFile.safeParse(parseJson(text));
    return lease.success ? lease.data : null;
  }

  async writeCredentials(credentials: CredentialsFile): Promise<void> {
    const text = JSON.stringify(CredentialsFile.parse(credentials));
    const path = join(this.path(credentials.allocation), 'credentials.json');
    await writeAtomically(path, text, secret, this.owner);
  }

  async removeCredentials(allocation: string): Promise<void> {
    await rm(join(this.path(allocation), 'credentials.json'), { force: true });
  }

  /**
   * What the bot says about itself; null when it has said nothing yet. Throws when it is not a status of this
   * allocation and epoch: the writer is not trusted.
   */
  async readStatus(allocation: string, epoch: number): Promise<StatusFile | null> {
    const text = await readUntrusted(
      join(this.outPath(allocation), 'status.json'),
      limits.status_file_bytes_max,
    );
    if (text === null) return null;
    const status = StatusFile.parse(parseJson(text));
    if (status.allocation !== allocation || status.epoch !== epoch) {
      throw new Error('it is about another allocation or epoch');
    }
    return status;
  }

  /** Removes all that an attempt was given and has left, but for what it is told about trading. */
  async clear(allocation: string): Promise<void> {
    const path = this.path(allocation);
    for (const name of await this.#names(path)) {
      if (name !== 'control.json') await this.#removeTree(join(path, name));
    }
  }

  async remove(allocation: string): Promise<void> {
    await this.#removeTree(this.path(allocation));
  }

  async #removeTree(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENAMETOOLONG') throw error;
      // A bot can nest folders deeper than a path may be long. rm(1) goes down step by step instead of by path.
      await promisify(execFile)('rm', ['-rf', '--', path], { timeout: removal_ms_max });
    }
  }

  /** Allocations that have a directory. */
  async list(): Promise<string[]> {
    const entries = await readdir(this.root, { withFileTypes: true });
    return entries.filter((e) => e.isDirectory() && Id.safeParse(e.name).success).map((e) => e.name);
  }

  async #exists(allocation: string, name: string): Promise<boolean> {
    return (await this.#names(this.path(allocation))).includes(name);
  }

  /** Empty for a directory that is not there. */
  async #names(path: string): Promise<string[]> {
    try {
      return await readdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  async #write(allocation: string, name: string, value: object, mode: number): Promise<void> {
    await writeAtomically(join(this.path(allocation), name), JSON.stringify(value), mode, null);
  }
}

/** Undefined for what is not JSON, which no schema takes. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
