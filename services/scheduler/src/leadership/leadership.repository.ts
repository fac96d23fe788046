import type { EntityManager } from 'typeorm';

/**
 * Whether the term is still the present one; if so, nobody takes over before this transaction ends. `FOR KEY SHARE`
 * is in nobody's way but of a change of the term: renewals change no key, and other transactions share it.
 */
export async function checkTerm(tx: EntityManager, term: number, holder: string): Promise<boolean> {
  const rows = await tx.query<unknown[]>(
    'SELECT 1 FROM scheduler.leadership WHERE term = $1 AND holder = $2 FOR KEY SHARE',
    [term, holder],
  );
  return rows.length > 0;
}
