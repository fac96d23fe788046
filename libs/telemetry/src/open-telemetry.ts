import { metrics, type Attributes, type Counter, type Histogram } from '@opentelemetry/api';

const metric_interval_ms = 15_000;
const shutdown_ms_max = 5000;

/** Stops what `startTelemetry` started, after sending what is left; bounded. */
export type StopTelemetry = () => Promise<void>;

/**
 * Sends traces and metrics over OTLP/HTTP when OTEL_EXPORTER_OTLP_ENDPOINT is set (the exporters read it, and the
 * other OTEL_* variables, themselves). When it is not, nothing is even loaded: the SDK costs some 20 MB.
 */
export async function startTelemetry(
  service: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<StopTelemetry> {
  const endpoint = env.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined || endpoint === '') return async () => {};
  const [trace, traceExporter, metric, metricExporter, resources] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-metrics-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const resource = resources.resourceFromAttributes({ 'service.name': service });
  const tracers = new trace.NodeTracerProvider({
    resource,
    spanProcessors: [new trace.BatchSpanProcessor(new traceExporter.OTLPTraceExporter())],
  });
  tracers.register();
  const meters = new metric.MeterProvider({
    resource,
    readers: [
      new metric.PeriodicExportingMetricReader({
        exporter: new metricExporter.OTLPMetricExporter(),
        exportIntervalMillis: metric_interval_ms,
      }),
    ],
  });
  metrics.setGlobalMeterProvider(meters);
  return async () => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, shutdown_ms_max);
    });
    await Promise.race([Promise.allSettled([tracers.shutdown(), meters.shutdown()]), late]);
    clearTimeout(timer);
  };
}

const meter = () => metrics.getMeter('tradefleet');

/** A counter made at its first use, because an instrument made before `startTelemetry` would count nowhere. */
export function lazyCounter(
  name: string,
  description: string,
): { add(value: number, attributes?: Attributes): void } {
  let counter: Counter | undefined;
  return {
    add(value, attributes) {
      counter ??= meter().createCounter(name, { description });
      counter.add(value, attributes);
    },
  };
}

/** A histogram made at its first use; see `lazyCounter`. */
export function lazyHistogram(
  name: string,
  description: string,
  unit: string,
): { record(value: number, attributes?: Attributes): void } {
  let histogram: Histogram | undefined;
  return {
    record(value, attributes) {
      histogram ??= meter().createHistogram(name, { description, unit });
      histogram.record(value, attributes);
    },
  };
}
