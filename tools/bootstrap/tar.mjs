/** Writes a POSIX ustar archive in memory; the same files give the same bytes on every machine. */

const BLOCK = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;

/**
 * @param {readonly {path: string, content: Buffer}[]} files
 * @returns {Buffer}
 * @throws {RangeError} for a path that does not fit the format
 */
export function tarOf(files) {
  const blocks = files.flatMap(({ path, content }) => [
    header(path, content.length),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header(path, size) {
  const { name, prefix } = split(path);
  const block = Buffer.alloc(BLOCK);
  const octal = (value, at, width) => block.write(value.toString(8).padStart(width - 1, '0'), at, 'ascii');
  block.write(name, 0, 'utf8');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  // The sum is taken with its own field as spaces.
  block.write('        ', 148, 'ascii');
  block.write('0', 156, 'ascii');
  block.write('ustar\u000000', 257, 'ascii');
  block.write(prefix, 345, 'utf8');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'ascii');
  return block;
}

/** A path longer than the name field is cut at a slash; the first part goes into the prefix field. */
function split(path) {
  if (Buffer.byteLength(path) <= NAME_BYTES_MAX) return { name: path, prefix: '' };
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(name) <= NAME_BYTES_MAX && Buffer.byteLength(prefix) <= PREFIX_BYTES_MAX) {
      return { name, prefix };
    }
  }
  throw new RangeError(`${path} is too long for a tar archive`);
}
