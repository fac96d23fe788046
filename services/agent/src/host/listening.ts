import type { CustomTransportStrategy } from '@nestjs/microservices';

/** Starts one of the servers of libs/messaging outside of a Nest application, in the agent's own order. */
export async function listening(server: CustomTransportStrategy): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.listen((error?: unknown) => {
      if (error === undefined || error === null) resolve();
      else
        reject(error instanceof Error ? error : new Error('The server does not listen.', { cause: error }));
    });
  });
}
