import type { DataSource } from 'typeorm';
import type { AuditConfig } from '../audit.config.js';
import { NotMigrated, UnsafeRole } from '../errors.js';
import { scramVerifier } from './scram.js';

/** The log: rows are only ever added. */
export const auditSchema = 'audit';
/** What the service works with: rows are changed. */
export const workSchema = 'audit_work';

export type RoleKind = 'writer' | 'reader' | 'keeper';
export type Queryable = Pick<DataSource, 'query'>;

/** What a role may do in the two schemas, as it is granted; everything else is taken away. */
interface Rights {
  /** `<privilege> ON <object>`, for GRANT. */
  readonly grants: readonly string[];
  /** What of that is taken away again. */
  readonly revokes?: readonly string[];
  /** Table privileges that are no danger, by schema; any other makes the service refuse the role. */
  readonly allowed: Readonly<Record<string, readonly string[]>>;
}

/** What the writer needs to tell a repeated event from another one with its id, and to go on after a start. */
const writerColumns =
  'id, position, source, incarnation, sequence, retention, time, subject_id, signature, recorded_at, leaf_hash';
const allWork = `ALL TABLES IN SCHEMA ${workSchema}`;

const rights: Record<RoleKind, Rights> = {
  writer: {
    grants: [
      'INSERT ON audit.events, audit.tiles, audit.checkpoints, audit.quarantine, audit.gaps',
      `SELECT (${writerColumns}) ON audit.events`,
      'SELECT ON audit.tiles, audit.checkpoints, audit.gaps',
      'SELECT, INSERT ON audit.holds, audit.hold_releases',
      'SELECT ON audit.archives, audit.drops',
      'SELECT (archive, position), INSERT ON audit.archive_records',
      'SELECT (week), INSERT ON audit.reports',
      'SELECT (digest, code, source, recorded_at) ON audit.quarantine',
      'EXECUTE ON FUNCTION audit.ensure_partitions, audit.erase_subject',
      'EXECUTE ON FUNCTION audit.prune_quarantine, audit.redact_quarantine',
      `SELECT, INSERT, UPDATE, DELETE ON ${allWork}`,
    ],
    // A key is destroyed by the function that asks for holds, and by nothing else.
    revokes: [`UPDATE, DELETE ON ${workSchema}.subjects`],
    allowed: { [auditSchema]: ['INSERT', 'SELECT'], [workSchema]: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] },
  },
  reader: {
    grants: [
      'SELECT ON audit.events, audit.tiles, audit.checkpoints, audit.gaps',
      'SELECT ON audit.holds, audit.hold_releases, audit.active_holds, audit.archives, audit.drops',
      'SELECT ON audit.archived_positions, audit.archive_records, audit.erasures, audit.retention_months',
      'SELECT ON audit.security_types, audit.security_events, audit.reports',
      'EXECUTE ON FUNCTION audit.retention_plan',
      'SELECT (digest, stream_seq, subject, code, source, reason, recorded_at) ON audit.quarantine',
      `SELECT ON ${workSchema}.head, ${workSchema}.producers, ${workSchema}.subjects, ${workSchema}.damage`,
    ],
    allowed: { [auditSchema]: ['SELECT'], [workSchema]: ['SELECT'] },
  },
  /** Only functions: what it may see and drop they decide. */
  keeper: {
    grants: [
      'EXECUTE ON FUNCTION audit.retention_plan, audit.read_due, audit.record_archive, audit.drop_partition',
    ],
    allowed: {},
  },
};

/** Columns that a role must not see, beyond what the privileges on tables say. */
const hidden: Record<RoleKind, readonly (readonly [table: string, column: string])[]> = {
  writer: [
    ['audit.events', 'data'],
    ['audit.quarantine', 'body'],
  ],
  reader: [['audit.quarantine', 'body']],
  keeper: [
    ['audit.events', 'data'],
    ['audit.quarantine', 'body'],
  ],
};

export const roleUrls = (config: AuditConfig): Readonly<Partial<Record<RoleKind, string>>> => ({
  writer: config.databaseUrl,
  reader: config.readerDatabaseUrl,
  ...(config.keeperDatabaseUrl === undefined ? {} : { keeper: config.keeperDatabaseUrl }),
});

/**
 * As the owner: makes the role of the URL unless it is there, gives it the URL's password unless it can log in, and
 * allows it what its kind needs, nothing else.
 */
export async function grantRole(
  owner: Queryable,
  kind: RoleKind,
  url: URL,
  hasLogin: boolean,
): Promise<void> {
  const name = decodeURIComponent(url.username);
  const role = quoteIdentifier(name);
  const existing = await owner.query<unknown[]>('SELECT 1 FROM pg_roles WHERE rolname = $1', [name]);
  if (existing.length === 0) await owner.query(`CREATE ROLE ${role} LOGIN`);
  if (!hasLogin) {
    const verifier = scramVerifier(decodeURIComponent(url.password));
    await owner.query(`ALTER ROLE ${role} LOGIN PASSWORD '${verifier}'`);
  }
  const schemas = `${auditSchema}, ${workSchema}`;
  const statements = [
    `REVOKE ALL ON SCHEMA ${schemas} FROM PUBLIC, ${role}`,
    `REVOKE ALL ON ALL TABLES IN SCHEMA ${schemas} FROM PUBLIC, ${role}`,
    `REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${schemas} FROM PUBLIC, ${role}`,
    `GRANT USAGE ON SCHEMA ${schemas} TO ${role}`,
    ...rights[kind].grants.map((grant) => `GRANT ${grant} TO ${role}`),
    ...(rights[kind].revokes ?? []).map((right) => `REVOKE ${right} FROM ${role}`),
  ];
  await owner.query(statements.join(';\n'));
}

/** Refuses to go on as a role that may do more than its kind needs. Throws `UnsafeRole`, `NotMigrated`. */
export async function requireRole(dataSource: Queryable, kind: RoleKind): Promise<void> {
  const [found] = await dataSource.query<{ role: string; migrated: boolean }[]>(
    `SELECT current_user AS role, to_regclass('${workSchema}.head') IS NOT NULL AS migrated`,
  );
  if (found?.migrated !== true) throw new NotMigrated();
  const excess = [
    ...(await mightyAttributes(dataSource)),
    ...(await tablePrivileges(dataSource, kind)),
    ...(await hiddenColumns(dataSource, kind)),
  ];
  if (excess.length > 0) throw new UnsafeRole(found.role, kind, excess);
}

/** What makes a role more than a role: attributes, membership in the owner or in roles that reach around privileges. */
async function mightyAttributes(dataSource: Queryable): Promise<string[]> {
  const rows = await dataSource.query<{ attribute: string }[]>(
    `SELECT attribute FROM pg_roles AS me
      CROSS JOIN LATERAL (VALUES
        ('act as superuser', me.rolsuper), ('make roles', me.rolcreaterole),
        ('replicate', me.rolreplication), ('bypass row security', me.rolbypassrls)) AS can (attribute, yes)
      WHERE me.rolname = current_user AND yes
     UNION ALL
     SELECT 'become ' || other.rolname FROM pg_roles AS other
      WHERE other.rolname <> current_user AND pg_has_role(current_user, other.oid, 'MEMBER')
        AND (other.rolsuper OR other.rolname IN ('pg_write_all_data', 'pg_read_all_data', 'pg_write_server_files',
                                                 'pg_read_server_files', 'pg_execute_server_program')
             OR other.oid IN (SELECT nspowner FROM pg_namespace WHERE nspname = ANY ($1)))
     UNION ALL
     SELECT 'make tables in ' || nspname FROM pg_namespace
      WHERE nspname = ANY ($1) AND has_schema_privilege(oid, 'CREATE')`,
    [[auditSchema, workSchema]],
  );
  return rows.map((row) => row.attribute);
}

async function tablePrivileges(dataSource: Queryable, kind: RoleKind): Promise<string[]> {
  const rows = await dataSource.query<{ schema: string; name: string; privilege: string }[]>(
    `SELECT nspname AS schema, relname AS name, privilege
       FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
      CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
      WHERE nspname = ANY ($1) AND relkind IN ('r', 'p', 'v', 'm')
        AND (has_table_privilege(pg_class.oid, privilege)
             OR privilege IN ('INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(pg_class.oid, privilege))
      ORDER BY nspname, relname, privilege`,
    [[auditSchema, workSchema]],
  );
  const { allowed } = rights[kind];
  const excess = rows.filter(({ schema, privilege }) => !(allowed[schema] ?? []).includes(privilege));
  // The owner may do it all, to every month: a few of them say so.
  return excess.slice(0, 10).map(({ schema, name, privilege }) => `${privilege} ${schema}.${name}`);
}

async function hiddenColumns(dataSource: Queryable, kind: RoleKind): Promise<string[]> {
  const rows = await dataSource.query<{ name: string }[]>(
    `SELECT of || '.' || col AS name FROM unnest($1::text[], $2::text[]) AS t (of, col)
      WHERE has_column_privilege(of, col, 'SELECT')`,
    [hidden[kind].map(([table]) => table), hidden[kind].map(([, column]) => column)],
  );
  return rows.map((row) => `read ${row.name}`);
}

const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
