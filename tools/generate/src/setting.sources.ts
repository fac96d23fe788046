/** What the source says about a setting and its schema cannot. */
export interface SettingSource {
  /** Its doc comment, in one line; empty without one. */
  readonly comment: string;
  /** Whether it is marked `secret(...)`. */
  readonly secret: boolean;
}

/**
 * Finds `key: <schema>` at the second level of the sources, with the doc comment before it. Sources are formatted by
 * prettier, so a declaration begins a line of its own, two spaces in.
 */
export function settingSources(sources: readonly string[]): ReadonlyMap<string, SettingSource> {
  const found = new Map<string, SettingSource>();
  const declaration = /(?:^ {2}\/\*\*((?:[^*]|\*(?!\/))*)\*\/\n)?^ {2}([a-z][A-Za-z0-9]*): *(\S[^\n]*)?/gm;
  for (const source of sources)
    for (const [, comment = '', key = '', value = ''] of source.matchAll(declaration))
      if (!found.has(key)) found.set(key, { comment: oneLine(comment), secret: value.startsWith('secret(') });
  return found;
}

const oneLine = (comment: string): string =>
  comment
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, '').trim())
    .join(' ')
    .trim();
