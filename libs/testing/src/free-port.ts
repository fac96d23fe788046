import { createServer } from 'node:net';

/** A port that was free a moment ago on 127.0.0.1. Another process may take it: who listens on it tries again. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('The probe server has no port'));
      });
    });
  });
}
