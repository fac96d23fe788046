/** Small heaps: a service that grows beyond is at fault and starts again. */
const heap_mb_max = 256;

/** These wait most of the time: what an optimising compiler would gain them is less than what it takes. */
const waiting: readonly string[] = ['agent', 'secrets'];

/**
 * How Node runs a service of the local fleet: eight processes share this machine with the bots, and idle most of the
 * time, so each is to be small rather than fast. Of the resident memory of an agent with two bots this takes 8 MB by
 * leaving the optimising compilers alone, 4 by small young generations and code for size, 3 by one arena of malloc, and
 * 3 by doing without source maps.
 */
export function nodeFlags(service: string): string[] {
  return [
    '--disable-warning=ExperimentalWarning',
    `--max-old-space-size=${heap_mb_max}`,
    // Young garbage is collected often in little room rather than seldom in much.
    '--max-semi-space-size=1',
    '--optimize-for-size',
    ...(waiting.includes(service) ? ['--no-opt', '--no-maglev'] : []),
  ];
}

/** glibc gives each thread an arena of its own, which hardly any of them fills. */
export const nodeEnvironment: Readonly<NodeJS.ProcessEnv> = { MALLOC_ARENA_MAX: '1' };
