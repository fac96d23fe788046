import { limits, Manifest, ProblemError } from '#libs/contracts';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Document, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { UsageError } from '../exit.codes.js';
import type { Surroundings } from '../surroundings.js';

const file_bytes_max = 1024 * 1024;
const shown_faults_max = 20;

/** A manifest as it was read, and where each of its fields stands. */
export interface ManifestFile {
  readonly manifest: Manifest;
  /** The error with `file:line:column` put before each field it names; other errors as they are. */
  readonly located: (error: unknown) => unknown;
}

/**
 * Reads a manifest in YAML or JSON; `-` is standard input. Throws `invalid_request` with file and line for what does
 * not fit, and `UsageError` for a file that cannot be read.
 */
export async function readManifest(path: string, surroundings: Surroundings): Promise<ManifestFile> {
  const name = path === '-' ? 'standard input' : path;
  const text = path === '-' ? await readInput(surroundings) : readFile(resolve(surroundings.cwd, path));
  const lines = new LineCounter();
  const document = parse(text, name, lines);
  const parsed = Manifest.safeParse(document.toJS({ maxAliasCount: 100 }));
  const located = (error: unknown) => locate(error, name, document, lines);
  if (!parsed.success) throw located(ProblemError.fromZod(parsed.error, name));
  if (Buffer.byteLength(JSON.stringify({ manifest: parsed.data })) > limits.message_bytes_max)
    throw new ProblemError(
      'payload_too_large',
      `Split ${name}, for example by tenant: a manifest may have ${limits.message_bytes_max / 1024} KiB.`,
    );
  return { manifest: parsed.data, located };
}

function readFile(path: string): string {
  try {
    if (statSync(path).size > file_bytes_max) throw new UsageError(`${path} is larger than 1 MiB.`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new UsageError(`The manifest ${path} cannot be read (${code}).`, { cause: error });
  }
}

async function readInput({ stdin }: Surroundings): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const part = Buffer.from(chunk as Buffer | string);
    bytes += part.length;
    if (bytes > file_bytes_max) throw new UsageError('Standard input is larger than 1 MiB.');
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** JSON is YAML, so one parser does for both and knows the lines. */
function parse(text: string, name: string, lineCounter: LineCounter): Document {
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false });
  const [document, second] = Array.isArray(documents) ? documents : [];
  if (document === undefined || document.contents === null)
    throw new ProblemError('invalid_request', `${name} is empty; docs/OPERATIONS.md shows a manifest.`);
  if (second !== undefined)
    throw new ProblemError(
      'invalid_request',
      `Put one document into ${name}; it has several, divided by ---.`,
    );
  const [fault] = document.errors;
  if (fault !== undefined)
    throw new ProblemError('invalid_request', `${at(name, lineCounter, fault.pos[0])}: ${fault.message}`);
  return document;
}

function locate(error: unknown, name: string, document: Document, lines: LineCounter): unknown {
  if (!(error instanceof ProblemError) || error.options.errors === undefined) return error;
  const faults = error.options.errors.slice(0, shown_faults_max).map(({ path, message }) => {
    const offset = offsetOf(document, path);
    return offset === null
      ? `${path}: ${message}`
      : `${at(name, lines, offset)}: ${path.replace(/^manifest\./, '')}: ${message}`;
  });
  // The places stand in the detail already, each on a line of its own.
  return new ProblemError(error.code, `Correct the manifest:\n${faults.join('\n')}`, { cause: error });
}

/** Offset of the field, or of the nearest thing around it that is there; `null` when it is none of the manifest's. */
function offsetOf(document: Document, path: string): number | null {
  const keys = path
    .replace(/^manifest\./, '')
    .split('.')
    .filter((key) => key !== '(body)')
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key));
  for (let depth = keys.length; depth >= 0; depth -= 1) {
    const node = depth === 0 ? document.contents : document.getIn(keys.slice(0, depth), true);
    if (isNode(node) && node.range != null) return node.range[0];
  }
  return null;
}

function at(name: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${name}:${line}:${col}`;
}
