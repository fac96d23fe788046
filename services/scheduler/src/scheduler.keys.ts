/** DI token of the scheduler's `SigningKey`: commands, answers to agents, allocation tokens and events. */
export const SCHEDULER_SIGNING_KEY = Symbol('SchedulerSigningKey');
