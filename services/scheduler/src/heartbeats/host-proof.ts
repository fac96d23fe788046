import { ProblemError, signatureHeader } from '#libs/contracts';
import { header, type RequestContext } from '#libs/messaging';

/** What came with a message of a host, to be held against what it says. */
export interface HostProof {
  /** The host token of the subject: what the broker let the sender publish to. */
  readonly subjectHost: string;
  /** The exact bytes the signature covers. */
  readonly bytes: Uint8Array;
  readonly signature: string | undefined;
}

export const proofOf = (ctx: RequestContext): HostProof => ({
  subjectHost: ctx.hostToken ?? '',
  bytes: ctx.rawBody,
  signature: header(ctx.headers, signatureHeader),
});

/** Throws `wrong_host` when a message came on the subject of another host. */
export function requireSameHost(host: string, proof: HostProof): void {
  if (host === proof.subjectHost) return;
  throw new ProblemError(
    'wrong_host',
    `Send this on the subject of ${host}: it came on that of another host.`,
  );
}
