import { describe, expect, it } from '@jest/globals';
import { imageReference } from './image-reference.js';

const hash = 'a'.repeat(64);

describe('imageReference', () => {
  it.each([
    ['tradefleet/paper-bot:src-0123456789ab', null],
    [`registry.example:5000/team/paper-bot@sha256:${hash}`, `sha256:${hash}`],
    [`registry.example:5000/team/paper-bot:latest@sha256:${hash}`, `sha256:${hash}`],
    ['registry.example:5000/team/paper-bot:1.2.3', null],
    [`sha256:${hash}`, null],
  ])('takes %s', (text, digest) => {
    expect(imageReference(text)).toEqual({ text, digest });
  });

  it.each(['paper-bot', 'paper-bot:latest', 'registry.example:5000/team/paper-bot'])(
    'refuses %s, which may change under its name',
    (text) => {
      expect(() => imageReference(text)).toThrow('may change under its name');
    },
  );

  it.each(['', ' ', 'Paper:1', 'a b:1', 'paper-bot:1?x=1', `paper-bot@sha256:${hash}0`, '../x:1'])(
    'refuses "%s", which is no reference',
    (text) => {
      expect(() => imageReference(text)).toThrow();
    },
  );
});
