import { setFlagsFromString } from 'node:v8';

/**
 * An agent waits most of the time and shares its machine with bots: V8 is to prefer a small heap over speed. That has
 * to be said before the first module of ours is compiled, so everything else is loaded from here.
 */
setFlagsFromString('--optimize-for-size');

await import('./agent.main.js');
