import { z } from 'zod';

/** What this driver reads of the engine's answers, and no more: every field is there from API 1.41 on. */

export const Version = z.object({ Version: z.string(), ApiVersion: z.string() });

export const Info = z.object({
  NCPU: z.number(),
  MemTotal: z.number(),
  MemoryLimit: z.boolean(),
  SwapLimit: z.boolean(),
  PidsLimit: z.boolean(),
  CpuCfsQuota: z.boolean(),
});
export type Info = z.infer<typeof Info>;

/** Go writes year 1 for "not yet". */
const EngineTime = z.string().transform((text) => (text.startsWith('0001-') || text === '' ? null : text));

export const Container = z.object({
  Id: z.string(),
  Name: z.string(),
  State: z.object({
    Status: z.enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']),
    OOMKilled: z.boolean(),
    ExitCode: z.number(),
    StartedAt: EngineTime,
    FinishedAt: EngineTime,
  }),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullable() }),
});
export type Container = z.infer<typeof Container>;

export const ContainerList = z.array(
  z.object({
    Id: z.string(),
    Names: z.array(z.string()).nullable(),
    State: z.string(),
    Labels: z.record(z.string(), z.string()).nullable(),
    /** Name of the volume; none for a bind mount. */
    Mounts: z.array(z.object({ Name: z.string().optional() })).nullish(),
  }),
);
export type ContainerList = z.infer<typeof ContainerList>;

export const Created = z.object({ Id: z.string(), Warnings: z.array(z.string()).nullish() });

export const Network = z.object({
  Id: z.string(),
  Name: z.string(),
  Internal: z.boolean(),
  Labels: z.record(z.string(), z.string()).nullable(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullable() }),
  Containers: z.record(z.string(), z.unknown()).nullish(),
});
export type Network = z.infer<typeof Network>;

export const Volume = z.object({ Name: z.string(), Labels: z.record(z.string(), z.string()).nullish() });
export type Volume = z.infer<typeof Volume>;
export const VolumeList = z.object({ Volumes: Volume.array().nullish() });

export const Image = z.object({ Id: z.string() });

/** A sample of one container; the parts are empty when it does not run. */
export const Usage = z.object({
  read: EngineTime,
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number() }) }),
  memory_stats: z.object({
    usage: z.number().optional(),
    stats: z.object({ total_inactive_file: z.number(), inactive_file: z.number() }).partial().optional(),
  }),
  pids_stats: z.object({ current: z.number().optional() }),
});
export type Usage = z.infer<typeof Usage>;

export const EngineEvent = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()).nullish() }),
});
export type EngineEvent = z.infer<typeof EngineEvent>;
