import { command } from '../parts/command.js';
import type { CutMode } from '../planner/fault.planner.js';

/** `control` leads to NATS, `broker` to the broker: they break one without the other. */
export type LinkName = 'control' | 'broker';
export const linkNames: readonly LinkName[] = ['control', 'broker'];

const prefix_bits = 24;
const first_host = 10;
/** The longest name the kernel gives an interface. */
const interface_name_max = 15;

/**
 * What makes hosts of parts of this machine: for each a network namespace, and in it two links that lead to two bridges
 * outside.
 *
 *   namespace host-a                          outside
 *     control0 10.x.y.10  ─── veth pair ───  bridge of control, 10.x.y.1 (NATS)
 *     broker0  10.x.z.10  ─── veth pair ───  bridge of broker,  10.x.z.1 (broker)
 *
 * There is no way on from there: neither to other namespaces nor to the world.
 */
export class Network {
  constructor(
    /** Two to six letters and digits, unique on this machine: every name begins with `tf` and it. */
    readonly id: string,
    /** The middle two parts of the addresses: 10.<block>.<0 or 1>.0/24. */
    readonly block: number,
    readonly hosts: readonly string[],
  ) {}

  namespace(host: string): string {
    return `tf${this.id}-${host}`;
  }

  /** Address of this side: NATS or the broker listens there. */
  address(link: LinkName): string {
    return `10.${this.block}.${linkNames.indexOf(link)}.1`;
  }

  /** Words that run a program within the network of the host, in the file system and cgroups of this machine. */
  within(host: string): string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace(host)}`, '--'];
  }

  async create(): Promise<void> {
    for (const link of linkNames) {
      const bridge = this.bridge(link);
      await ip('link', 'add', bridge, 'type', 'bridge');
      await ip('addr', 'add', `${this.address(link)}/${prefix_bits}`, 'dev', bridge);
      await ip('link', 'set', bridge, 'up');
    }
    for (const [index, host] of this.hosts.entries()) await this.createHost(host, index);
  }

  /** Removes all of it that is there. */
  async remove(): Promise<void> {
    for (const host of this.hosts) {
      // Before the namespace, which lives on as long as a process is in it.
      for (const link of linkNames) await gone('link', this.outside(link, host));
      await gone('netns', this.namespace(host));
    }
    for (const link of linkNames) await gone('link', this.bridge(link));
  }

  /** Breaks a link. What is sent meanwhile is lost without a word, as it is when a switch fails. */
  async cut(host: string, link: LinkName, mode: CutMode): Promise<void> {
    if (mode === 'cut') await ip('link', 'set', this.outside(link, host), 'down');
    else await this.filter(host, link, mode, '-I');
  }

  async mend(host: string, link: LinkName, mode: CutMode): Promise<void> {
    if (mode === 'cut') await ip('link', 'set', this.outside(link, host), 'up');
    else await this.filter(host, link, mode, '-D');
  }

  /** In the host's own tables, at places that both its own and its containers' packets pass. */
  private async filter(host: string, link: LinkName, mode: CutMode, action: '-I' | '-D'): Promise<void> {
    const [table, chain, direction] =
      mode === 'deaf' ? ['raw', 'PREROUTING', '-i'] : ['mangle', 'POSTROUTING', '-o'];
    const [program = '', ...words] = this.within(host);
    const rule = ['-w', '5', '-t', table, action, chain, direction, `${link}0`, '-j', 'DROP'] as string[];
    await command(program, [...words, 'iptables', ...rule]);
  }

  private async createHost(host: string, index: number): Promise<void> {
    const namespace = this.namespace(host);
    await ip('netns', 'add', namespace);
    await ip('-n', namespace, 'link', 'set', 'lo', 'up');
    for (const link of linkNames) {
      const inside = `${link}0`;
      const outside = this.outside(link, host);
      await ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', namespace);
      await ip('link', 'set', outside, 'master', this.bridge(link), 'up');
      const address = this.address(link).replace(/\.1$/, `.${first_host + index}`);
      await ip('-n', namespace, 'addr', 'add', `${address}/${prefix_bits}`, 'dev', inside);
      await ip('-n', namespace, 'link', 'set', inside, 'up');
    }
  }

  private bridge(link: LinkName): string {
    return interfaceName(`tf${this.id}${link.slice(0, 1)}`);
  }

  private outside(link: LinkName, host: string): string {
    return interfaceName(`tf${this.id}${link.slice(0, 1)}${this.hosts.indexOf(host)}`);
  }
}

const ip = async (...words: string[]): Promise<string> => await command('ip', words);

/** Removes what goes by that name; being gone already is as well. */
async function gone(kind: 'link' | 'netns', name: string): Promise<void> {
  const listed = kind === 'link' ? await ip('-o', 'link', 'show') : await ip('netns', 'list');
  const names = listed
    .split('\n')
    .map((line) => (kind === 'link' ? line.split(': ')[1]?.split('@')[0] : line.split(' ')[0]));
  if (names.includes(name)) await ip(kind, 'delete', name);
}

function interfaceName(name: string): string {
  if (name.length > interface_name_max) throw new Error(`${name} is too long for an interface.`);
  return name;
}

/** A block of addresses that nothing on this machine uses or has a way to. */
export async function freeBlock(): Promise<number> {
  const used = `${await ip('-o', 'addr', 'show')}${await ip('route', 'show', 'table', 'all')}`;
  for (let block = 210; block < 255; block += 1) if (!used.includes(`10.${block}.`)) return block;
  throw new Error('No block of addresses from 10.210 to 10.254 is free on this machine.');
}
