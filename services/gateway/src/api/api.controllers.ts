import { Controller, Delete, Get, HttpCode, Inject, Patch, Post, Put, Req, type Type } from '@nestjs/common';
import { api, type ApiName, apiNames, type HttpRoute } from '#libs/contracts';
import type { FastifyRequest } from 'fastify';
import { ApiForwarder } from './api.forwarder.js';
import { readApiRequest } from './request.fields.js';

const verbs: Record<HttpRoute['method'], (path: string) => MethodDecorator> = {
  GET: Get,
  POST: Post,
  PUT: Put,
  PATCH: Patch,
  DELETE: Delete,
};

/** Operations with a handler of their own, because HTTP adds something to them. */
const handledElsewhere: ReadonlySet<ApiName> = new Set(['credentials.set']);

/**
 * One controller an operation of the API, made from the contract: a route cannot drift from its NATS subject, and a
 * new operation has its route by being declared. The method answers what the service answered.
 */
export function apiControllers(): Type[] {
  return apiNames.filter((name) => !handledElsewhere.has(name)).map(controllerOf);
}

function controllerOf(name: ApiName): Type {
  const { method, path, status } = api[name].http;

  @Controller('api/v1')
  class ApiController {
    constructor(@Inject(ApiForwarder) readonly forwarder: ApiForwarder) {}

    async handle(request: FastifyRequest): Promise<unknown> {
      return this.forwarder.forward(name, readApiRequest(name, request), request);
    }
  }
  Object.defineProperty(ApiController, 'name', { value: `ApiController(${name})` });

  const descriptor = Object.getOwnPropertyDescriptor(ApiController.prototype, 'handle');
  if (descriptor === undefined) throw new Error('The handler has no descriptor');
  verbs[method](path.replace(/\{(\w+)\}/g, ':$1'))(ApiController.prototype, 'handle', descriptor);
  HttpCode(status)(ApiController.prototype, 'handle', descriptor);
  Req()(ApiController.prototype, 'handle', 0);
  return ApiController;
}
