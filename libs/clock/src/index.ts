export * from './background-loop.js';
export * from './clock.js';
export * from './token-bucket.js';
export * from './wake.js';
export * from './refusal-tally.js';
