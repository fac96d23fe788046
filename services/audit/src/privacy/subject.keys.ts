import { CLOCK, type Clock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { KeyWrapping } from './key.wrapping.js';
import { Unreadable, type SubjectKey } from './subject.key.js';
import { SUBJECT_STORE, type StoredSubject, type SubjectStore } from './subject.store.js';

/** Keys kept ready; the one not used longest goes first. */
const keys_max = 1024;
/** A name is added and looked up again; only somebody who erases it in between makes one more try of it. */
const tries_max = 5;
const namePlace = 'name';

/** A person whose values can be read. */
export interface KnownSubject {
  readonly key: SubjectKey;
  readonly name: string;
}

/**
 * The keys of persons. Whether a person has one is asked of the database each time, so that an erasure holds at once and in
 * every process; only the work of unwrapping is remembered.
 */
@Injectable()
export class SubjectKeys {
  private readonly ready = new Map<string, { readonly wrapped: Buffer; readonly key: SubjectKey }>();

  constructor(
    @Inject(SUBJECT_STORE) private readonly store: SubjectStore,
    private readonly wrapping: KeyWrapping,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** The key of each name, made for a name that has none. */
  async ofNames(names: ReadonlySet<string>): Promise<ReadonlyMap<string, SubjectKey>> {
    const keys = new Map<string, SubjectKey>();
    const macs = new Map([...names].map((name) => [name, this.wrapping.macs(name)]));
    for (let tried = 0; keys.size < names.size; tried += 1) {
      if (tried === tries_max) throw new Error('A person is erased as fast as it is made.');
      const wanted = [...macs].filter(([name]) => !keys.has(name));
      const stored = await this.store.byMacs(wanted.flatMap(([, candidates]) => candidates));
      const byMac = new Map(stored.map((subject) => [subject.mac.toString('hex'), subject]));
      const missing: string[] = [];
      for (const [name, candidates] of wanted) {
        const found = candidates.map((mac) => byMac.get(mac.toString('hex'))).find((it) => it !== undefined);
        if (found === undefined) missing.push(name);
        else keys.set(name, this.keyOf(found));
      }
      if (missing.length > 0) await this.add(missing);
    }
    return keys;
  }

  /** The persons of these ids; whoever was erased is not among them, and null stands for one whose row was changed. */
  async ofIds(ids: ReadonlySet<string>): Promise<ReadonlyMap<string, KnownSubject | null>> {
    if (ids.size === 0) return new Map();
    const stored = await this.store.byIds([...ids]);
    return new Map(stored.map((subject) => [subject.id, this.known(subject)]));
  }

  /** Under which ids a name is known: one, or several when the master key was changed. Makes none. */
  async find(name: string): Promise<string[]> {
    return (await this.store.byMacs(this.wrapping.macs(name))).map(({ id }) => id).sort();
  }

  /** Of somebody who was erased. */
  forget(id: string): void {
    this.ready.delete(id);
  }

  private async add(names: readonly string[]): Promise<void> {
    const wall_ms = this.clock.wallMs();
    const subjects = names.map((name): StoredSubject => {
      const id = newId(wall_ms);
      const { key, wrapped } = this.wrapping.create(id);
      const [mac = Buffer.alloc(0)] = this.wrapping.macs(name);
      return { id, mac, wrappedKey: wrapped, sealedName: key.seal(name, namePlace) };
    });
    await this.store.add(subjects, new Date(wall_ms).toISOString());
  }

  private known(subject: StoredSubject): KnownSubject | null {
    try {
      const key = this.keyOf(subject);
      return { key, name: key.open(subject.sealedName, namePlace) };
    } catch (error) {
      if (error instanceof Unreadable) return null;
      throw error;
    }
  }

  private keyOf({ id, wrappedKey }: StoredSubject): SubjectKey {
    const found = this.ready.get(id);
    this.ready.delete(id);
    const key = found?.wrapped.equals(wrappedKey) === true ? found.key : this.wrapping.open(id, wrappedKey);
    this.ready.set(id, { wrapped: wrappedKey, key });
    const oldest = this.ready.keys().next().value;
    if (this.ready.size > keys_max && oldest !== undefined) this.ready.delete(oldest);
    return key;
  }
}
