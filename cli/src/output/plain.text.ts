/**
 * Text that a terminal shows and does not obey. What bots, brokers and other people wrote may hold escape sequences;
 * control characters and those that turn the direction of writing are shown by their code. Tabs stay.
 */
export function plainText(text: string): string {
  return text.replace(/[^\P{Cc}\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}
