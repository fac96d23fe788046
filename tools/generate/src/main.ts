import { join } from 'node:path';
import { allDocuments } from './documents.js';
import { checkDocuments, writeDocuments } from './generated.files.js';

const usage =
  'Usage: generate [--check]   writes the generated documents, or tells whether they are up to date';

/** dist/tools/generate/src -> the checkout */
const root = join(import.meta.dirname, '../../../..');
const args = process.argv.slice(2);

if (args.some((arg) => arg !== '--check')) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const documents = allDocuments(root);
  if (args.length === 0) {
    const written = writeDocuments(root, documents);
    console.log(
      `${documents.length} documents, ${written.length} changed${written.map((path) => `\n  ${path}`).join('')}`,
    );
  } else {
    const stale = checkDocuments(root, documents);
    for (const line of stale) console.error(line);
    if (stale.length > 0) console.error('Run npm run generate and commit what it writes.');
    else console.log(`${documents.length} documents up to date`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  }
}
