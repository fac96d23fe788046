import type pg from 'pg';
import type { EntityManager } from 'typeorm';

/** Takes the next term on the connection that holds the lock. Waits for transactions that `checkTerm` guards. */
export async function takeTerm(client: pg.Client, holder: string): Promise<number> {
  const { rows } = await client.query<{ term: number }>(
    `INSERT INTO scheduler.leadership (term, holder, since) VALUES (1, $1, now())
     ON CONFLICT (one_row) DO UPDATE SET term = leadership.term + 1, holder = $1, since = now()
     RETURNING term`,
    [holder],
  );
  const term = rows[0]?.term;
  if (term === undefined) throw new Error('The leadership row could not be written.');
  return term;
}

/** Whether the term is still the present one; if so, nobody takes over before this transaction ends. */
export async function checkTerm(tx: EntityManager, term: number, holder: string): Promise<boolean> {
  const rows = await tx.query<unknown[]>(
    'SELECT 1 FROM scheduler.leadership WHERE term = $1 AND holder = $2 FOR SHARE',
    [term, holder],
  );
  return rows.length > 0;
}
