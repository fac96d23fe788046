import { type CanActivate, type ExecutionContext, Inject, Injectable, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ProblemError } from '#libs/contracts';
import type { FastifyRequest } from 'fastify';
import { createHash, timingSafeEqual } from 'node:crypto';
import { GATEWAY_CONFIG, type GatewayConfig } from '../gateway.config.js';
import { SessionEvents } from './session.events.js';
import { setCaller } from './caller.js';

const PUBLIC = 'tradefleet:public';
/** A route that needs no credentials: health checks and the API's description. */
export const Public = (): ClassDecorator & MethodDecorator => SetMetadata(PUBLIC, true);

/** Lets a request through that carries the admin token; users and roles take its place later. */
@Injectable()
export class AdminTokenGuard implements CanActivate {
  private readonly expected: Buffer;

  constructor(
    @Inject(GATEWAY_CONFIG) config: GatewayConfig,
    private readonly reflector: Reflector,
    private readonly sessions: SessionEvents,
  ) {
    this.expected = digest(config.adminToken);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    if (this.reflector.getAllAndOverride<boolean>(PUBLIC, [context.getHandler(), context.getClass()]))
      return true;
    const given = /^Bearer ([A-Za-z0-9._~+/-]{1,512}=*)$/.exec(request.headers.authorization ?? '')?.[1];
    // Digests have one length, so that the comparison tells nothing about the token, not even how long it is.
    if (given !== undefined && timingSafeEqual(digest(given), this.expected)) {
      setCaller(request, 'user:admin');
      return true;
    }
    this.sessions.refused(request);
    throw new ProblemError(
      'unauthenticated',
      'Send the admin token as "Authorization: Bearer <token>"; the token is in the file the gateway was started with.',
    );
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
