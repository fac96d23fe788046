import type { RunDirectories } from './run-directories.js';

/** The runtime directories, or null with a driver that has no containers to read them. */
export type RunFiles = RunDirectories | null;
export const RUN_FILES = Symbol('RunFiles');
