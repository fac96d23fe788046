/**
 * Text as Postgres takes it: no NUL and, inside JSON, no lone surrogate. Hosts hand on what bots say, and a cut in the
 * middle of a character makes such a half as well; one such word must not keep what it stands in from being written.
 */
export const storableText = (text: string): string =>
  text.replaceAll('\0', ' ').replaceAll(/\p{Cs}/gu, '\ufffd');
