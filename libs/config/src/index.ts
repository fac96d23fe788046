export * from './load-config.js';
export * from './config.module.js';
export * from './master-keys.js';
export * from './public-keys.js';
