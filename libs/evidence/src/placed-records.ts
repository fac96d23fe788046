import { splitHashes } from '#libs/tlog';
import type { ExportItem } from './export.format.js';

/** A record and its position: its line, or of an archived one its leaf. Valid until the next one is asked for. */
export type PlacedRecord =
  { readonly at: number; readonly line: Buffer } | { readonly at: number; readonly leaf: Buffer };

/** The records of an export, archived ones too. It tells their positions only by what stands before them. */
export async function* placedRecords(items: AsyncIterable<ExportItem>): AsyncGenerator<PlacedRecord> {
  let at = 0;
  for await (const item of items) {
    if (item.kind === 'header') at = item.header.from;
    else if (item.kind === 'record') yield { at: at++, line: item.line };
    else if ('archived' in item.marker)
      for (const leaf of splitHashes(Buffer.from(item.marker.archived.leaves, 'base64')))
        yield { at: at++, leaf };
    else if ('missing' in item.marker) at += item.marker.missing[1] - item.marker.missing[0];
  }
}
