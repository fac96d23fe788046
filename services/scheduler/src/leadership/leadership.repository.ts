import type { EntityManager } from 'typeorm';

/**
 * The count of renewals while the term is still the present one, else null; if it is, nobody takes over before this
 * transaction ends. `FOR KEY SHARE` is in nobody's way but of a change of the term: renewals change no key, and other
 * transactions share it.
 */
export async function checkTerm(tx: EntityManager, term: number, holder: string): Promise<number | null> {
  const [row] = await tx.query<{ renewal: string }[]>(
    'SELECT renewal FROM scheduler.leadership WHERE term = $1 AND holder = $2 FOR KEY SHARE',
    [term, holder],
  );
  return row === undefined ? null : Number(row.renewal);
}
