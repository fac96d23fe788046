import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { page, table } from './markdown.js';

const folder = 'docs/adr';

/** docs/adr/README.md: every decision by its number, with its title and state. */
export function decisionIndex(root: string): string {
  const files = readdirSync(join(root, folder))
    .filter((name) => /^\d{4}-.*\.md$/.test(name))
    .sort();
  const rows = files.map((name) => {
    const text = readFileSync(join(root, folder, name), 'utf8');
    const title = /^# \d{4}: (.+)$/m.exec(text)?.[1];
    const state = /^State: (.+)$/m.exec(text)?.[1];
    if (title === undefined || state === undefined)
      throw new Error(`${folder}/${name} needs a title "# 0001: ..." and a line "State: ..."`);
    return [`[${name.slice(0, 4)}](${name})`, title, state];
  });
  return page(
    'Decisions',
    'the files beside it',
    'What was decided that would be costly to change, and why. A decision is not rewritten: a later one takes its place and says so.',
    table(['number', 'decision', 'state'], rows),
  );
}
