export * from './export.format.js';
export * from './export.writer.js';
export * from './export.reader.js';
export * from './witness.name.js';
export * from './witness.reader.js';
export * from './finding.js';
export * from './evidence.damaged.js';
export * from './verify.js';
export type { ToldArchive } from './excuses.js';
