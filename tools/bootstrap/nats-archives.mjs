/**
 * The official release archive of nats-server and its SHA-256 on each platform.
 *
 * The sums of the Linux archives are those which the makers of NATS pin in the Dockerfile of
 * their official image (github.com/nats-io/nats-docker, 2.14.x/alpine3.22/Dockerfile); all
 * four are also those of the release's SHA256SUMS as recorded in
 * github.com/cashapp/hermit-packages, nats-server.hcl. To move to another version take its
 * sums from its SHA256SUMS file; a platform without a checked sum has no entry.
 */

export const ARCHIVE_VERSION = '2.14.5';

const SHA256 = {
  'linux-amd64': '5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355',
  'linux-arm64': '673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c',
  'darwin-amd64': 'f95c98d6b6ed2b63c5681b46b092c9585c99767d547cf495730c329234625e96',
  'darwin-arm64': 'ddd907854d9a2de834af133fa396915fe6442fe6d8909ae31390d1ea7a0fea50',
};

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };

/**
 * @param {string} platform Node's `process.platform`
 * @param {string} arch Node's `process.arch`
 * @returns {{version: string, url: string, sha256: string, member: string} | undefined}
 *   `member` is the path of the program inside the archive
 */
export function releaseArchive(platform, arch) {
  const target = `${platform}-${ARCHITECTURES[arch]}`;
  const sha256 = SHA256[target];
  if (sha256 === undefined) return undefined;
  const name = `nats-server-v${ARCHIVE_VERSION}-${target}`;
  const releases = 'https://github.com/nats-io/nats-server/releases/download';
  return {
    version: ARCHIVE_VERSION,
    url: `${releases}/v${ARCHIVE_VERSION}/${name}.tar.gz`,
    sha256,
    member: `${name}/nats-server`,
  };
}
