import { withClient } from '#libs/testing';

/** An allocation that reached a state, by the clock of the database. */
export interface Transition {
  readonly allocation: string;
  readonly account: string;
  readonly host: string;
  readonly epoch: number;
  readonly state: string;
  /** Milliseconds since 1970. */
  readonly at_ms: number;
}

/** A scheduler that took over. */
export interface Takeover {
  readonly term: number;
  /** False: nobody led, or the leader before had given its lease back. */
  readonly fromDead: boolean;
  /** From the last renewal of the term before. */
  readonly waited_ms: number;
}

/**
 * Has the database itself write down, in the transaction that makes it so, when allocations change their states and
 * when the lead changes hands: whoever asks from outside comes late, and what services say of themselves is what is to
 * be checked.
 */
export async function installTransitionLog(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(`
      CREATE SCHEMA chaos;
      CREATE TABLE chaos.transitions (
        allocation uuid NOT NULL, account text NOT NULL, host text NOT NULL, epoch integer NOT NULL,
        state text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
      );
      CREATE FUNCTION chaos.note_transition() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO chaos.transitions (allocation, account, host, epoch, state)
        VALUES (NEW.id, NEW.account, NEW.host, NEW.epoch, NEW.state);
        RETURN NULL;
      END $$;
      CREATE TRIGGER chaos_insert AFTER INSERT ON scheduler.allocations
        FOR EACH ROW EXECUTE FUNCTION chaos.note_transition();
      CREATE TRIGGER chaos_update AFTER UPDATE OF state ON scheduler.allocations
        FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION chaos.note_transition();

      CREATE TABLE chaos.takeovers (term integer NOT NULL, from_dead boolean NOT NULL, waited_ms double precision NOT NULL);
      CREATE TABLE chaos.renewed (at timestamptz NOT NULL);
      INSERT INTO chaos.renewed VALUES (clock_timestamp());
      CREATE FUNCTION chaos.note_lead() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.term <> OLD.term THEN
          INSERT INTO chaos.takeovers
          SELECT NEW.term, OLD.holder <> 'nobody', extract(epoch FROM clock_timestamp() - at) * 1000 FROM chaos.renewed;
        END IF;
        UPDATE chaos.renewed SET at = clock_timestamp();
        RETURN NULL;
      END $$;
      CREATE TRIGGER chaos_lead AFTER UPDATE ON scheduler.leadership
        FOR EACH ROW EXECUTE FUNCTION chaos.note_lead();
    `);
  });
}

export async function readTransitions(url: string): Promise<Transition[]> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<Transition>(
      `SELECT allocation, account, host, epoch, state, (extract(epoch FROM at) * 1000)::float8 AS at_ms
         FROM chaos.transitions ORDER BY at`,
    );
    return rows;
  });
}

export async function readTakeovers(url: string): Promise<Takeover[]> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<Takeover>(
      `SELECT term, from_dead AS "fromDead", waited_ms FROM chaos.takeovers ORDER BY term`,
    );
    return rows;
  });
}
