/** What was seen contradicts itself, was changed, is of another key, or is something else. */
export class EvidenceDamaged extends Error {
  override readonly name = 'EvidenceDamaged';
}
