import { newId } from '#libs/contracts';
import Docker from 'dockerode';

/** The bots' image with a program that only waits: what is measured is the engine and who asks it, not Python. */
export class IdleImage {
  private constructor(
    private readonly docker: Docker,
    readonly reference: string,
  ) {}

  static async make(docker: Docker, from: string): Promise<IdleImage> {
    const repo = 'tradefleet-bench/idle';
    const tag = newId();
    const container = await docker.createContainer({ Image: from });
    try {
      const changes = `ENTRYPOINT ${JSON.stringify(['/usr/bin/tini', '--', '/bin/sleep', '1000000'])}`;
      await container.commit({ repo, tag, changes });
    } finally {
      await container.remove();
    }
    return new IdleImage(docker, `${repo}:${tag}`);
  }

  async remove(): Promise<void> {
    await this.docker.getImage(this.reference).remove();
  }
}
