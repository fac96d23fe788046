/** Files of a witness, of one log. */
export type WitnessFile = 'leaves' | 'checkpoints' | 'key.jwk';

/** The name of a log's file: an origin has no `_`, so two logs never share one. */
export const witnessFile = (origin: string, kind: WitnessFile): string =>
  `${origin.replaceAll('/', '_')}.${kind}`;
