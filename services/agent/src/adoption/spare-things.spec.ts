import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '#libs/contracts';
import { SealingKey, SigningKey } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { aPublicKey, VirtualClock } from '#libs/testing';
import { AgentConfig } from '../agent.config.js';
import type { DriverStores, ForeignTask, KeptVolume } from '../drivers/driver.js';
import { SimulatedDriver } from '../drivers/simulated/simulated.driver.js';
import { EventSpool } from '#libs/spool';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { FencesRepository } from '../state/fences.repository.js';
import { SparesRepository } from '../state/spares.repository.js';
import { aRecord } from '../testing/hook.context.js';
import { SpareThings } from './spare-things.js';
import { StrayContainers } from './stray-containers.js';

const hour_ms = 3_600_000;

/** An engine's stores in memory. */
class FakeStores implements DriverStores {
  volumes: KeptVolume[] = [];
  foreign: ForeignTask[] = [];
  readonly images = new Set<string>();
  /** Called when a removal is under way. */
  onRemoval: () => Promise<void> = () => Promise.resolve();

  async survey(): Promise<{ volumes: KeptVolume[]; foreign: ForeignTask[] }> {
    return { volumes: [...this.volumes], foreign: this.foreign };
  }

  async removeVolume({ name }: KeptVolume): Promise<boolean> {
    await this.onRemoval();
    this.volumes = this.volumes.filter((volume) => volume.name !== name);
    return true;
  }

  fetched(): readonly string[] {
    return [...this.images];
  }

  async removeImage(reference: string): Promise<boolean> {
    return this.images.delete(reference);
  }
}

describe('spare things', () => {
  const clock = new VirtualClock();
  const never = new AbortController().signal;
  let folder: string;
  let db: AgentDatabase;
  let stores: FakeStores;
  let records: AllocationsRepository;
  let spool: EventSpool;
  let identity: Identity;
  const volume = (account: string, inUse = false): KeptVolume => ({
    name: `tf.fleet.${account}`,
    account,
    inUse,
  });
  const accounts = () => stores.volumes.map(({ account }) => account);
  const told = () => spool.next(100).map(({ type, data }) => ({ type, ...(data as object) }));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-spares-'));
    db = new AgentDatabase(join(folder, 'agent.sqlite'));
    stores = new FakeStores();
    records = new AllocationsRepository(db);
    spool = new EventSpool(db, clock, { incarnation: newId(), events_max: 1000 });
    identity = new Identity('host', newId(), await SigningKey.generate(), await SealingKey.generate());
  });
  afterEach(async () => {
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  function spareThings(fields: Partial<AgentConfig> = {}): SpareThings {
    const config: AgentConfig = {
      ...AgentConfig.parse({
        ...{ host: 'host', natsUrl: ['nats://127.0.0.1:1'], stateDir: folder, runRoot: folder },
        schedulerPublicKey: [identity.signingKey.publicJwk],
        auditPublicKey: aPublicKey,
      }),
      ...fields,
    };
    const logger = createLogger({ service: 'agent-test', level: 'silent' });
    const driver = Object.assign(new SimulatedDriver({ host: 'host' }, clock), { stores });
    const fences = new FencesRepository(db);
    const strays = new StrayContainers(driver, db, records, fences, spool, identity, config, clock, logger);
    const spares = new SparesRepository(db);
    return new SpareThings(driver, db, records, spares, strays, spool, identity, config, clock, logger);
  }

  async function live(account: string): Promise<void> {
    await db.commit(() => records.save({ ...aRecord(), id: newId(), account }, clock.wallMs()));
  }

  it('are volumes that nobody has used for their time, and no others', async () => {
    await live('lives');
    stores.volumes = [volume('lives'), volume('used', true), volume('left')];
    const things = spareThings({ volumesKeepHours: 2 });
    await things.sweep(never);
    await clock.advance(2 * hour_ms - 1);
    await things.sweep(never);
    expect(accounts()).toEqual(['lives', 'used', 'left']);
    await clock.advance(1);
    await things.sweep(never);
    expect(accounts()).toEqual(['lives', 'used']);
    expect(told()).toEqual([
      expect.objectContaining({
        type: 'tradefleet.host.swept',
        dryRun: false,
        volumes: 1,
        names: ['tf.fleet.left'],
      }),
    ]);
  });

  it('begin their time anew when they were used in between, and keep it over a restart', async () => {
    stores.volumes = [volume('comes-back'), volume('left')];
    await spareThings({ volumesKeepHours: 2 }).sweep(never);
    await clock.advance(hour_ms);
    stores.volumes = [volume('comes-back', true), volume('left')];
    await spareThings({ volumesKeepHours: 2 }).sweep(never);
    stores.volumes = [volume('comes-back'), volume('left')];
    await clock.advance(hour_ms);
    await spareThings({ volumesKeepHours: 2 }).sweep(never);
    expect(accounts()).toEqual(['comes-back']);
  });

  it('are left to a bot that comes while others are removed', async () => {
    stores.volumes = [volume('first'), volume('second')];
    const things = spareThings({ volumesKeepHours: 1 });
    await things.sweep(never);
    await clock.advance(hour_ms);
    stores.onRemoval = async () => await live('second');
    await things.sweep(never);
    expect(accounts()).toEqual(['second']);
  });

  it('are images that it fetched itself and nobody names', async () => {
    stores.images.add('old@sha256:1').add('named@sha256:2');
    const things = spareThings({ imagesKeepHours: 1, images: { paper: 'named@sha256:2' } });
    await things.sweep(never);
    await clock.advance(hour_ms);
    await things.sweep(never);
    expect([...stores.images]).toEqual(['named@sha256:2']);
  });

  it('stay where they are in a dry run, which says once what would go', async () => {
    stores.volumes = [volume('left')];
    const things = spareThings({ volumesKeepHours: 1, housekeeping: 'report' });
    await things.sweep(never);
    await clock.advance(hour_ms);
    await things.sweep(never);
    await things.sweep(never);
    expect(accounts()).toEqual(['left']);
    expect(told()).toEqual([expect.objectContaining({ dryRun: true, volumes: 1, names: ['tf.fleet.left'] })]);
  });

  it('go a bounded number at a time', async () => {
    stores.volumes = Array.from({ length: 50 }, (_, n) => volume(`account-${n}`));
    const things = spareThings({ volumesKeepHours: 1 });
    await things.sweep(never);
    await clock.advance(hour_ms);
    await things.sweep(never);
    expect(stores.volumes).toHaveLength(30);
  });

  it('are not containers that only look like ours: those are told of, once', async () => {
    stores.foreign = [{ id: 'c1', name: 'bot-somebody', why: 'It has no label of a fleet.' }];
    const things = spareThings();
    await things.sweep(never);
    await things.sweep(never);
    expect(told()).toEqual([
      expect.objectContaining({
        type: 'tradefleet.host.stray-found',
        kind: 'foreign',
        name: 'bot-somebody',
        action: 'reported',
      }),
    ]);
  });
});
