export * from './next-try.js';
export * from './restart-in-place.js';
export * from './place-again.js';
