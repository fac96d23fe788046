import { openApiDocument } from '../../../services/gateway/src/openapi/openapi.document.js';
import { decisionIndex } from './adr.index.js';
import { asyncApiDocument } from './asyncapi/asyncapi.document.js';
import { configurationPage } from './configuration.page.js';
import { errorsPage } from './errors.page.js';
import { eventsPage } from './events.page.js';
import type { GeneratedFile } from './generated.files.js';
import { subjectsPage } from './subjects.page.js';

const json = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`;

/** Every generated document. The same sources give the same bytes. */
export function allDocuments(root: string): GeneratedFile[] {
  return [
    { path: 'docs/generated/openapi.json', text: json(openApiDocument()) },
    { path: 'docs/generated/asyncapi.json', text: json(asyncApiDocument()) },
    { path: 'docs/generated/errors.md', text: errorsPage() },
    { path: 'docs/generated/events.md', text: eventsPage() },
    { path: 'docs/generated/subjects.md', text: subjectsPage() },
    { path: 'docs/generated/configuration.md', text: configurationPage(root) },
    { path: 'docs/adr/README.md', text: decisionIndex(root) },
  ];
}
