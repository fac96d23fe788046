import { eventBatchSigningInput, type PublicJwk } from '#libs/contracts';
import { inclusionRoot, ShownTree } from '#libs/tlog';
import type { BatchSignature } from './batch-signature.js';

/** Whether the key made the detached JWS over exactly these bytes. Never throws for a signature that is false. */
export type VerifyJws = (bytes: Uint8Array, jws: string, key: PublicJwk) => Promise<boolean>;

/** Batches remembered; the one not met for longest goes first. At most 5 KB each. */
const batches_max = 512;

/**
 * Batches whose signature was verified, so that it is verified once for all their events. Only what is good is
 * remembered, under key, signature and size: whoever sends false ones makes us verify each of them, as with single
 * signatures, and pushes nothing out. Of those begun at the same time the first verifies for all.
 */
export class VerifiedBatches {
  /** The one met last stands last. */
  private readonly good = new Map<string, ShownTree>();
  /** As many as callers wait for; of each signature one at a time. */
  private readonly underWay = new Map<string, Promise<ShownTree | null>>();

  constructor(
    private readonly verify: VerifyJws,
    private readonly max = batches_max,
  ) {}

  /** Whether a batch that the key has signed has this leaf at the place that the signature names. */
  async shows(leaf: Buffer, signature: BatchSignature, key: PublicJwk): Promise<boolean> {
    const id = idOf(signature, key);
    // What came of another's may be false because of its own path: then this one is looked at, and so on.
    for (let begun = this.underWay.get(id); begun !== undefined; begun = this.underWay.get(id)) await begun;
    // One signature is good for one root alone, so a path that leads to another is false.
    const tree = this.known(signature, key) ?? (await this.begin(id, leaf, signature, key));
    return tree?.shows(signature.index, leaf, signature.path) ?? false;
  }

  /** The tree that the key is known to have signed; null: that would have to be found out. */
  known(signature: BatchSignature, key: PublicJwk): ShownTree | null {
    const id = idOf(signature, key);
    const tree = this.good.get(id);
    if (tree === undefined) return null;
    this.good.delete(id);
    this.good.set(id, tree);
    return tree;
  }

  private async begin(
    id: string,
    leaf: Buffer,
    { jws, index, size, path }: BatchSignature,
    key: PublicJwk,
  ): Promise<ShownTree | null> {
    const root = inclusionRoot({ position: index, size, leaf, proof: path });
    if (root === null) return null;
    const begun = this.verified(id, { jws, size, root }, key).finally(() => this.underWay.delete(id));
    this.underWay.set(id, begun);
    return await begun;
  }

  private async verified(
    id: string,
    { jws, size, root }: Pick<BatchSignature, 'jws' | 'size'> & { readonly root: Buffer },
    key: PublicJwk,
  ): Promise<ShownTree | null> {
    if (!(await this.verify(eventBatchSigningInput(size, root), jws, key))) return null;
    const tree = new ShownTree(size, root);
    this.good.set(id, tree);
    const oldest = this.good.keys().next().value;
    if (this.good.size > this.max && oldest !== undefined) this.good.delete(oldest);
    return tree;
  }
}

const idOf = ({ jws, size }: Pick<BatchSignature, 'jws' | 'size'>, { crv, x }: PublicJwk): string =>
  `${crv}.${x} ${size} ${jws}`;
