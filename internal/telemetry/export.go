package telemetry

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// patience is how long the end of the process waits for a collector.
const patience = 3 * time.Second

// Wanted reports whether the environment names a collector: OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.
func Wanted() bool {
	return os.Getenv("OTEL_SDK_DISABLED") != "true" &&
		(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

// Export sends spans to the collector that the environment names, by OTLP over HTTP,
// with what else its variables say: headers, certificates, sampling, service name. The
// context returned belongs to whoever began the process, where TRACEPARENT says so.
// stop sends what is left; problem is told once why they cannot be sent. It is to be
// called once in a process, where [Wanted].
func Export(ctx context.Context, version string, problem func(error)) (_ context.Context, stop func(), err error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return ctx, func() {}, fmt.Errorf("cannot send traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "tutti"), attribute.String("service.version", version), attribute.Int("process.pid", os.Getpid())),
		resource.WithTelemetrySDK(), resource.WithFromEnv()) // what comes last counts
	if err != nil {
		return ctx, func() {}, fmt.Errorf("cannot send traces: %w", err)
	}
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { once.Do(func() { problem(err) }) }))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")})
	return ctx, func() {
		last, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := provider.Shutdown(last); err != nil {
			once.Do(func() { problem(err) })
		}
	}, nil
}
