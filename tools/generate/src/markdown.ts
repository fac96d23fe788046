/** A page that says it is generated, and from what. */
export function page(title: string, source: string, ...parts: readonly string[]): string {
  const head = `# ${title}\n\n<!-- Made by npm run generate from ${source}; changes here are lost. -->`;
  return `${[head, ...parts].join('\n\n')}\n`;
}

/** A table; the cells are Markdown, a bar in them is escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${head.map(() => ' --- |').join('')}`, ...rows.map(line)].join('\n');
}

const cell = (text: string): string => text.replace(/\s*\n\s*/g, ' ').replace(/(?<!\\)\|/g, '\\|');

export const code = (text: string): string => `\`${text}\``;
export const codes = (texts: readonly string[]): string => texts.map(code).join(', ');
