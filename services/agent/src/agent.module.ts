import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { join } from 'node:path';
import { CLOCK, type Clock } from '#libs/clock';
import { connectMessaging } from '#libs/messaging';
import { EventSpool } from '#libs/spool';
import { TelemetryModule, type Logger } from '#libs/telemetry';
import { AdoptionService } from './adoption/adoption.service.js';
import { HousekeepingService } from './adoption/housekeeping.service.js';
import { SpareThings } from './adoption/spare-things.js';
import { StrayContainers } from './adoption/stray-containers.js';
import { AGENT_CONFIG, type AgentConfig } from './agent.config.js';
import { AgentLifecycle } from './agent.lifecycle.js';
import { AllocationHooks } from './allocations/allocation.hooks.js';
import { AllocationJournal } from './allocations/allocation.journal.js';
import { AllocationRestarts } from './allocations/allocation.restarts.js';
import { AllocationTakedown } from './allocations/allocation.takedown.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { AwaitReadyHook } from './allocations/hooks/await-ready.hook.js';
import { CreateContainerHook } from './allocations/hooks/create-container.hook.js';
import { FetchGrantHook } from './allocations/hooks/fetch-grant.hook.js';
import { PrepareImageHook } from './allocations/hooks/prepare-image.hook.js';
import { PrepareNetworkHook } from './allocations/hooks/prepare-network.hook.js';
import { PrepareVolumeHook } from './allocations/hooks/prepare-volume.hook.js';
import { StartContainerHook } from './allocations/hooks/start-container.hook.js';
import { StayHealthyHook } from './allocations/hooks/stay-healthy.hook.js';
import { VerifyAllocationHook } from './allocations/hooks/verify-allocation.hook.js';
import { WorkSlots } from './allocations/work-slots.js';
import { CommandIntake } from './commands/command.intake.js';
import { CommandRejections } from './commands/command.rejections.js';
import { CommandServer } from './commands/command.server.js';
import { CommandVerifier } from './commands/command.verifier.js';
import { DRIVER, type Driver } from './drivers/driver.js';
import { EventPublisher } from './events/event.publisher.js';
import { EventRoom } from './events/event-room.js';
import {
  HEARTBEAT_OPTIONS,
  HeartbeatService,
  type HeartbeatOptions,
} from './heartbeats/heartbeat.service.js';
import { HeartbeatSignal } from './heartbeats/heartbeat.signal.js';
import { HOST_FACTS, RegistrationService, type HostFacts } from './heartbeats/registration.service.js';
import { SCHEDULER_KEYS, SignedExchange } from './heartbeats/signed-exchange.js';
import { Broker } from './host/broker.js';
import { CapacityWatch, CurrentAbility, MEASURE_HOST, type MeasureHost } from './host/capacity.watch.js';
import { HOST_ABILITY, hostAbility, measureMachine } from './host/host-ability.js';
import { Supersession } from './host/supersession.js';
import { Identity } from './identity/identity.js';
import { LeaseKeeper } from './leases/lease-keeper.js';
import { LastLogs } from './logs/last-logs.js';
import { LogsServer } from './logs/logs.server.js';
import { RunDirectories } from './run-files/run-directories.js';
import { RUN_FILES } from './run-files/run-files.js';
import { prepareRunRoot } from './run-files/run-root.js';
import { PreparationService } from './preparation/preparation.service.js';
import { AgentDatabase } from './state/agent.database.js';
import { AllocationsRepository } from './state/allocations.repository.js';
import { CommandsRepository } from './state/commands.repository.js';
import { FactsRepository } from './state/facts.repository.js';
import { FencesRepository } from './state/fences.repository.js';
import { PreparationsRepository } from './state/preparations.repository.js';
import { LastLogsRepository } from './state/last-logs.repository.js';
import { SparesRepository } from './state/spares.repository.js';
import { StateUpkeep } from './state/state-upkeep.js';

/** What an agent is made from; tests bring their own driver and clock. */
export interface AgentParts {
  readonly config: AgentConfig;
  readonly identity: Identity;
  readonly driver: Driver;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Shown to the scheduler. */
  readonly version: string;
  /** Ends a wait for the state file. */
  readonly signal?: AbortSignal | undefined;
}

/** One host's agent, without any door: `AgentLifecycle` opens them in their order. */
@Module({})
export class AgentModule {
  static forRoot(parts: AgentParts): DynamicModule {
    return {
      module: AgentModule,
      imports: [TelemetryModule.forRoot({ logger: parts.logger })],
      providers: [
        ...given(parts),
        ...settings(parts),
        ...state(parts),
        ...allocations(parts),
        HeartbeatSignal,
        CapacityWatch,
        SignedExchange,
        Supersession,
        RegistrationService,
        HeartbeatService,
        LeaseKeeper,
        PreparationService,
        CommandVerifier,
        CommandRejections,
        CommandIntake,
        CommandServer,
        EventPublisher,
        LastLogs,
        LogsServer,
        StrayContainers,
        SpareThings,
        HousekeepingService,
        AdoptionService,
        AgentLifecycle,
      ],
    };
  }
}

const given = ({ config, identity, driver, clock, logger }: AgentParts): Provider[] => [
  { provide: AGENT_CONFIG, useValue: config },
  { provide: Identity, useValue: identity },
  { provide: DRIVER, useValue: driver },
  { provide: CLOCK, useValue: clock },
  { provide: SCHEDULER_KEYS, useValue: config.schedulerPublicKey },
  {
    provide: Broker,
    useFactory: () =>
      new Broker(
        async (signal) =>
          await connectMessaging({
            servers: config.natsUrl,
            user: config.natsUser,
            password: config.natsPassword,
            name: `agent-${config.host}`,
            clock,
            logger,
            signal,
          }),
      ),
  },
];

const settings = ({ config, driver, version }: AgentParts): Provider[] => [
  {
    provide: HOST_FACTS,
    useValue: {
      agentVersion: version,
      labels: config.labels,
      joinToken: config.joinToken,
    } satisfies HostFacts,
  },
  {
    provide: HEARTBEAT_OPTIONS,
    useValue: {
      leaseMarginMs: config.leaseMarginMs,
      timeoutMs: config.heartbeatTimeoutMs,
    } satisfies HeartbeatOptions,
  },
  {
    provide: MEASURE_HOST,
    useValue: (async () => {
      const measured = await driver.fingerprint();
      return hostAbility(measured, await measureMachine(measured.driver, config.stateDir), config, version);
    }) satisfies MeasureHost,
  },
  {
    provide: HOST_ABILITY,
    inject: [MEASURE_HOST],
    useFactory: async (measure: MeasureHost) => new CurrentAbility(await measure()),
  },
  {
    provide: RUN_FILES,
    useFactory: async () => {
      if (!driver.usesRunDir) return null;
      await prepareRunRoot(config.runRoot, config.host, config.runRootAllowDisk);
      return new RunDirectories(config.runRoot, driver.runUser);
    },
  },
];

const state = ({ config, identity, clock, logger, signal }: AgentParts): Provider[] => [
  {
    provide: AgentDatabase,
    useFactory: async () =>
      await AgentDatabase.open(join(config.stateDir, 'agent.sqlite'), { clock, logger, signal }),
  },
  FactsRepository,
  FencesRepository,
  CommandsRepository,
  AllocationsRepository,
  PreparationsRepository,
  SparesRepository,
  LastLogsRepository,
  StateUpkeep,
  {
    provide: EventSpool,
    inject: [AgentDatabase],
    useFactory: (db: AgentDatabase) =>
      new EventSpool(db, clock, { incarnation: identity.incarnation, events_max: config.spoolEventsMax }),
  },
  EventRoom,
];

const allocations = ({ config, clock }: AgentParts): Provider[] => [
  { provide: WorkSlots, useFactory: () => new WorkSlots(config.lanesWorkingMax, clock) },
  VerifyAllocationHook,
  PrepareImageHook,
  PrepareNetworkHook,
  PrepareVolumeHook,
  FetchGrantHook,
  CreateContainerHook,
  StartContainerHook,
  AwaitReadyHook,
  StayHealthyHook,
  AllocationHooks,
  AllocationJournal,
  AllocationRestarts,
  AllocationTakedown,
  AllocationsService,
];
