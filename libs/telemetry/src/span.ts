import {
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
} from '@opentelemetry/api';
import { childTraceparent, newTraceparent } from './traceparent.js';

export interface SpanOptions {
  readonly kind: 'client' | 'server' | 'producer' | 'consumer' | 'internal';
  readonly attributes?: Attributes;
  /** What led to this; absent: a new trace. */
  readonly traceparent?: string | undefined;
}

const kinds: Record<SpanOptions['kind'], SpanKind> = {
  client: SpanKind.CLIENT,
  server: SpanKind.SERVER,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
};

/**
 * Runs `work` within a span and hands it the traceparent to pass on. With telemetry off nothing is recorded, and the
 * traceparent still continues the trace, so that logs and events of all services share its id.
 */
export async function withSpan<T>(
  name: string,
  { kind, attributes = {}, traceparent }: SpanOptions,
  work: (traceparent: string) => Promise<T>,
): Promise<T> {
  const parent = parentContext(traceparent);
  const span = trace.getTracer('tradefleet').startSpan(name, { kind: kinds[kind], attributes }, parent);
  const context = span.spanContext();
  const next =
    span.isRecording() && isSpanContextValid(context)
      ? `00-${context.traceId}-${context.spanId}-${context.traceFlags.toString(16).padStart(2, '0')}`
      : childTraceparent(traceparent);
  try {
    return await work(next);
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    if (error instanceof Error) span.setAttribute('error.type', error.name);
    throw error;
  } finally {
    span.end();
  }
}

function parentContext(traceparent: string | undefined) {
  const [, traceId, spanId, flags] = (traceparent ?? newTraceparent()).split('-');
  if (traceparent === undefined || traceId === undefined || spanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: flags === '00' ? TraceFlags.NONE : TraceFlags.SAMPLED,
    isRemote: true,
  });
}
