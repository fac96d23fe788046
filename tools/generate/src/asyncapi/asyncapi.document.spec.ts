import { describe, expect, it } from '@jest/globals';
import { api, apiNames, apiSubject, eventTypes } from '#libs/contracts';
import { createRequire } from 'node:module';
import { asyncApiDocument } from './asyncapi.document.js';

// The package's ESM build does not resolve under Node; its CommonJS build does.
const { Parser } = createRequire(import.meta.url)('@asyncapi/parser') as typeof import('@asyncapi/parser');
/** Errors and warnings; the rest is advice, such as to take a newer version. */
const serious: readonly number[] = [0, 1];

interface Document {
  channels: Record<string, { address: string | null; messages: object }>;
  operations: Record<string, { action: string }>;
  components: { messages: Record<string, { payload: object }>; schemas: object };
}
const document = asyncApiDocument() as unknown as Document;

describe('asyncApiDocument', () => {
  it('is valid AsyncAPI, without as much as a warning', async () => {
    const parsed = await new Parser().parse(JSON.stringify(document));
    expect(parsed.diagnostics.filter(({ severity }) => serious.includes(severity))).toEqual([]);
    expect(parsed.document?.allOperations().length).toBe(Object.keys(document.operations).length);
  });

  it('has a request and a reply channel for every operation of the API', () => {
    for (const name of apiNames) {
      expect(document.channels[`api.${name}`]?.address).toBe(apiSubject(name));
      expect(document.channels[`api.${name}.reply`]?.address).toBeNull();
      expect(document.operations[`api.${name}`]?.action).toBe('receive');
    }
  });

  it('has every event, with its own attributes and signature as headers', () => {
    for (const type of Object.keys(eventTypes)) {
      const message = document.components.messages[type.replace(/^tradefleet/, 'event')];
      expect(message).toMatchObject({
        headers: { properties: { 'ce-type': { const: type }, 'tradefleet-signature': {} } },
      });
    }
  });

  it('answers with the result or the problem', () => {
    const reply = document.components.messages['api.bots.get.reply']?.payload;
    expect(JSON.stringify(reply)).toContain('"#/components/schemas/Bot"');
    expect(JSON.stringify(reply)).toContain('"#/components/schemas/Problem"');
    expect(api['bots.get'].errors).toContain('bot_not_found');
  });

  it('says the same every time', () => {
    expect(JSON.stringify(asyncApiDocument())).toBe(JSON.stringify(document));
  });
});
