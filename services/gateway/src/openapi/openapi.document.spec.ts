import { describe, expect, it } from '@jest/globals';
import { toHttpRequest } from '#libs/client';
import {
  api,
  type ApiName,
  apiNames,
  commonErrors,
  type ErrorCode,
  errorCodeNames,
  errorCodes,
} from '#libs/contracts';
import { Validator } from '@seriousme/openapi-schema-validator';
import { openApiDocument } from './openapi.document.js';
import { requestExamples } from './request.examples.js';

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string; required: boolean }[];
  requestBody?: { content: { 'application/json': { schema: object; example?: object } } };
  responses: Record<string, { description: string }>;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { required?: string[]; properties?: Record<string, object> }> };
}

const document = openApiDocument() as unknown as Document;
const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
const operationOf = (name: ApiName): Operation | undefined =>
  document.paths[`/api/v1${api[name].http.path}`]?.[api[name].http.method.toLowerCase()];

describe('openApiDocument', () => {
  it('is valid OpenAPI 3.0', async () => {
    const { valid, errors } = await new Validator().validate({ ...structuredClone(document) });
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
  });

  it('refers to what is there, and holds nothing that is not referred to', () => {
    const referred = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, id]) => id,
    );
    expect([...new Set(referred)].sort()).toEqual(Object.keys(document.components.schemas).sort());
  });

  it('names each operation once', () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('says the same every time', () => {
    expect(JSON.stringify(openApiDocument())).toBe(JSON.stringify(document));
  });

  it('knows every error code', () => {
    expect(document.components.schemas['Problem']?.properties?.['code']).toMatchObject({
      enum: errorCodeNames,
    });
  });

  it('uses patterns that every reader understands', () => {
    const patterns = [...JSON.stringify(document).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '']) => JSON.parse(text) as string,
    );
    expect(patterns.length).toBeGreaterThan(0);
    for (const pattern of patterns) {
      expect(pattern).not.toMatch(/\\p\{/);
      expect(() => new RegExp(pattern)).not.toThrow();
    }
  });

  it('leaves out of a request what has a default, at every depth', () => {
    const { schemas } = document.components;
    expect(schemas['Policies']?.required).toContain('onHostLost');
    expect(schemas['PoliciesInput']?.required).toBeUndefined();
    expect(schemas['ManifestBotInput']?.required).toEqual(['name', 'account', 'runtime']);
    expect(JSON.stringify(operationOf('bots.create')?.requestBody)).not.toMatch(/schemas\/Policies"/);
  });

  it.each(apiNames)('describes %s with its errors and parameters', (name) => {
    const operation = operationOf(name);
    expect(operation?.operationId).toBe(name);
    const codes: readonly ErrorCode[] = [...commonErrors, 'unauthenticated', ...api[name].errors];
    for (const code of codes)
      expect(operation?.responses[errorCodes[code].status]?.description).toContain(`\`${code}\``);
    const inPath = operation?.parameters?.filter((parameter) => parameter.in === 'path') ?? [];
    expect(inPath.map((parameter) => `{${parameter.name}}`)).toEqual(
      api[name].http.path.match(/\{\w+\}/g) ?? [],
    );
  });
});

describe('requestExamples', () => {
  const withBody = apiNames.filter(
    (name) => !['GET', 'DELETE'].includes(api[name].http.method) && name !== 'credentials.set',
  );

  it.each(withBody)('has one of %s that fits, shown as the body a client sends', (name) => {
    const example = requestExamples[name] ?? {};
    expect(api[name].request.safeParse(example).error).toBeUndefined();
    const { body } = toHttpRequest(name, example);
    expect(operationOf(name)?.requestBody?.content['application/json'].example).toEqual(
      JSON.parse(body ?? ''),
    );
  });
});
