export * from './hash.js';
export * from './frontier.js';
export * from './tile.js';
export * from './tile-builder.js';
export * from './proof.js';
export * from './proof-check.js';
export * from './note.js';
export * from './checkpoint.js';
