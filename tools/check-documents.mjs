/**
 * Checks what the documents claim about this tree: links and paths exist, decisions are numbered without gaps, and
 * nothing names a place on somebody's machine. `npm run check` runs it; Node builtins only.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDERS_LEFT_OUT = new Set(['node_modules', 'dist', 'coverage']);
const FILES_MAX = 5000;
/** Folders whose files a document may name in backticks; such a path must exist. */
const SOURCE_FOLDERS = [
  'services',
  'libs',
  'cli',
  'tools',
  'deploy',
  'docker',
  'docs',
  'bot-fourni',
  'bench',
  'chaos',
  'proof',
  'proof',
  'e2e',
];
/** Homes and workplaces; what belongs to every Linux (/run, /var, /etc, /dev, /proc) may be named. */
const MACHINE_PATHS = /(?<![\w.~-])\/(?:home|Users|root|work|mnt|media)\/[\w.-]+/g;

/**
 * @typedef {{path: string, line: number, message: string}} Fault
 * @param {string} root the checkout
 * @returns {Fault[]} all that is wrong, by file and line
 */
export function checkDocuments(root) {
  const files = markdownFiles(root);
  return [
    ...files.flatMap((path) => checkFile(root, path)),
    ...checkChangeTable(root),
    ...checkDecisions(root),
  ];
}

function markdownFiles(root) {
  const found = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !entry.name.startsWith('.') && !FOLDERS_LEFT_OUT.has(entry.name)) walk(path);
      else if (entry.isFile() && entry.name.endsWith('.md')) found.push(path);
      if (found.length > FILES_MAX) throw new Error(`More than ${FILES_MAX} documents`);
    }
  };
  walk('.');
  return found.sort();
}

function checkFile(root, path) {
  const text = readFileSync(join(root, path), 'utf8');
  return proseLines(text).flatMap(({ line, content, fenced }) => {
    const fault = (message) => ({ path, line, message });
    const places = [...content.matchAll(MACHINE_PATHS)].map(([place]) =>
      fault(`names a place on one machine: ${place}`),
    );
    if (fenced) return places;
    return [
      ...places,
      ...linksIn(content).flatMap((target) => checkLink(root, path, target).map(fault)),
      ...pathsIn(content)
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => fault(`names ${target}, which is not there`)),
    ];
  });
}

/** Every line with its number, and whether it stands in a fenced block. */
function proseLines(text) {
  let fence = null;
  return text.split('\n').map((content, index) => {
    const [, mark] = /^\s*(```+|~~~+)/.exec(content) ?? [];
    const isFence = mark !== undefined && (fence === null || content.trim() === fence);
    if (isFence) fence = fence === null ? mark : null;
    return { line: index + 1, content, fenced: fence !== null || isFence };
  });
}

/** Targets of `[text](target)`, `[text]: target` and images; code in backticks is left out. */
function linksIn(line) {
  const prose = line.replace(/`[^`]*`/g, (code) => ' '.repeat(code.length));
  const inline = [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)].map(([, target]) => target);
  const [, reference] = /^\s*\[[^\]]+\]:\s+(\S+)/.exec(prose) ?? [];
  return reference === undefined ? inline : [...inline, reference];
}

function checkLink(root, from, target) {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return [];
  const [place, anchor] = decodeURIComponent(target).split('#');
  const path = place === '' ? from : normalize(join(dirname(from), place));
  if (path.startsWith('..')) return [`links to ${target}, outside of the checkout`];
  if (!existsSync(join(root, path))) return [`links to ${target}, which is not there`];
  if (anchor === undefined || !path.endsWith('.md')) return [];
  return anchorsOf(join(root, path)).has(anchor) ? [] : [`links to ${target}, but there is no such heading`];
}

/** Anchors as GitHub makes them of headings. */
function anchorsOf(path) {
  const seen = new Map();
  const anchors = proseLines(readFileSync(path, 'utf8'))
    .filter(({ content, fenced }) => !fenced && /^#{1,6} /.test(content))
    .map(({ content }) => {
      const text = content.replace(/^#+ /, '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
      const anchor = text
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
        .replace(/ /g, '-');
      const count = seen.get(anchor) ?? 0;
      seen.set(anchor, count + 1);
      return count === 0 ? anchor : `${anchor}-${count}`;
    });
  return new Set(anchors);
}

/** Paths below the source folders that stand in backticks; patterns and placeholders are left out. */
function pathsIn(line) {
  return [...line.matchAll(/`([^`\s]+)`/g)]
    .map(([, code]) => code.replace(/[:#].*$/, ''))
    .filter((code) => SOURCE_FOLDERS.some((folder) => code.startsWith(`${folder}/`)))
    .filter((code) => !/[*<>{}…]|\.\.\./.test(code));
}

/** The table "Where do I change X" of CONTRIBUTING: there, and every row of it names a path. */
function checkChangeTable(root) {
  const path = 'CONTRIBUTING.md';
  if (!existsSync(join(root, path))) return [{ path, line: 1, message: 'is missing' }];
  const lines = proseLines(readFileSync(join(root, path), 'utf8'));
  const heading = lines.findIndex(({ content }) => /^## Where do I change/i.test(content));
  if (heading === -1) return [{ path, line: 1, message: 'has no section "Where do I change"' }];
  const end = lines.findIndex(({ content }, index) => index > heading && content.startsWith('## '));
  const rows = lines
    .slice(heading + 1, end === -1 ? undefined : end)
    .filter(({ content }) => content.startsWith('|'))
    .slice(2);
  if (rows.length === 0) return [{ path, line: heading + 1, message: 'the section has no table' }];
  return rows
    .filter(({ content }) => pathsIn(content).length === 0)
    .map(({ line }) => ({ path, line, message: 'the row names no path in backticks' }));
}

/** Decisions are numbered from 0001 without gaps, and each is titled by its number. */
function checkDecisions(root) {
  const folder = 'docs/adr';
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md') && name !== 'README.md')
    .sort();
  return names.flatMap((name, index) => {
    const path = `${folder}/${name}`;
    const number = String(index + 1).padStart(4, '0');
    if (!new RegExp(`^${number}-[a-z0-9-]+\\.md$`).test(name))
      return [{ path, line: 1, message: `should be numbered ${number}: ${number}-<words>.md` }];
    const [title] = readFileSync(join(root, path), 'utf8').split('\n');
    return title.startsWith(`# ${number}: `)
      ? []
      : [{ path, line: 1, message: `should begin with "# ${number}: "` }];
  });
}

function main() {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const faults = checkDocuments(root);
  for (const { path, line, message } of faults) console.error(`${path}:${line}: ${message}`);
  if (faults.length === 0) console.log('documents: every link and path is there');
  process.exitCode = faults.length === 0 ? 0 : 1;
}

const startedAsProgram = process.argv[1] !== undefined && statSync(process.argv[1]).isFile();
if (startedAsProgram && relative(process.argv[1], fileURLToPath(import.meta.url)) === '') main();
