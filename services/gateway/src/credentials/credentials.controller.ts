import { Controller, Put, Req } from '@nestjs/common';
import { type ApiResponse, CredentialPassword, Name, ProblemError } from '#libs/contracts';
import { seal } from '#libs/messaging';
import type { FastifyRequest } from 'fastify';
import { ApiForwarder } from '../api/api.forwarder.js';

/**
 * Takes a password in the clear from this loopback door and seals it to the secrets service before it goes on: it is
 * in no message, log or event on the way.
 */
@Controller('api/v1/accounts/:account/credentials')
export class CredentialsController {
  constructor(private readonly forwarder: ApiForwarder) {}

  @Put()
  async set(@Req() request: FastifyRequest): Promise<ApiResponse<'credentials.set'>> {
    const account = Name.safeParse((request.params as { account: string }).account);
    if (!account.success) throw ProblemError.fromZod(account.error, 'the account in the path');
    const body = CredentialPassword.safeParse(request.body);
    if (!body.success) throw ProblemError.fromZod(body.error, 'the credentials');
    const { key } = await this.forwarder.call('credentials.key', {}, request);
    const content = JSON.stringify({ account: account.data, password: body.data.password });
    const sealed = await seal(Buffer.from(content, 'utf8'), key);
    return this.forwarder.call('credentials.set', { account: account.data, sealed }, request);
  }
}
