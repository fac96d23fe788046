export * from './archive.format.js';
export * from './archive.writer.js';
export * from './archive.check.js';
