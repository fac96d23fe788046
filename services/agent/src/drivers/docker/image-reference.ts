/** A repository with optional registry, then a tag, a digest or both; or an image id. */
const REFERENCE =
  /^(?<repository>[a-z0-9][a-z0-9._/:-]*?)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$/;
const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;

export interface ImageReference {
  readonly text: string;
  /** Present when a registry can be asked for exactly this image. */
  readonly digest: string | null;
}

/**
 * Reads an image reference and refuses what may name another image tomorrow: no tag at all, or the tag `latest`.
 * Throws a sentence for the person who configures the host.
 */
export function imageReference(text: string): ImageReference {
  if (IMAGE_ID.test(text)) return { text, digest: null };
  const groups = REFERENCE.exec(text)?.groups;
  if (groups === undefined) throw new Error(`"${text}" is not an image reference`);
  const digest = groups['digest'] ?? null;
  if (digest === null && (groups['tag'] === undefined || groups['tag'] === 'latest')) {
    throw new Error(
      `image "${text}" may change under its name: give a content tag or a digest (@sha256:...)`,
    );
  }
  return { text, digest };
}
