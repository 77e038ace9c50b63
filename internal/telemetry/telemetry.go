// Package telemetry tells other tools what the program is doing: traces in
// OpenTelemetry, a run with its steps and their calls of providers, and the lines of a
// server's log with the run and step they are about. Whoever does the work says so with
// a span; where nobody listens, that costs next to nothing.
//
// Only names, numbers and outcomes are told, never values of a configuration, what
// steps wrote, or messages of errors, any of which may hold a secret.
package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("github.com/tutti-dev/tutti")

type logKey struct{}

// WithLog has the runs and steps of a context told to a log as well.
func WithLog(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, logKey{}, log)
}

// Span is something that is being done. The zero one tells nobody.
type Span struct {
	span  trace.Span
	log   *slog.Logger
	what  string
	about []any
	began time.Time
}

// BeginCommand says that a command of this name begins, as a step of whoever began the
// process where that one has said so (TRACEPARENT).
func BeginCommand(ctx context.Context, name string) (context.Context, Span) {
	return begin(ctx, "tutti "+name, "", trace.SpanKindInternal)
}

// BeginRun says that this process begins to drive a run, or goes on with it.
func BeginRun(ctx context.Context, id, kind, stack, environment string) (context.Context, Span) {
	return begin(ctx, "run "+kind, "run", trace.SpanKindInternal, "run", id, "kind", kind, "stack", stack, "environment", environment)
}

// BeginStep says that a step of a run begins: action is what it does, name the step or
// the address of the object.
func BeginStep(ctx context.Context, run, name, action string) (context.Context, Span) {
	return begin(ctx, action+" "+name, "step", trace.SpanKindInternal, "run", run, "step", name, "action", action)
}

// BeginCall says that a provider is called. It belongs to a step or a command: a call
// outside of any is not told.
func BeginCall(ctx context.Context, provider, method string) (context.Context, Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, Span{}
	}
	ctx, span := tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("rpc.system", "grpc"), attribute.String("rpc.method", method), attribute.String("tutti.provider", provider)))
	return ctx, Span{span: span}
}

// begin begins a span with names and texts; empty texts are left out. What is not
// empty is told to the log, too.
func begin(ctx context.Context, name, what string, kind trace.SpanKind, about ...any) (context.Context, Span) {
	s := Span{what: what}
	ctx, s.span = tracer.Start(ctx, name, trace.WithSpanKind(kind))
	if s.span.IsRecording() {
		for i := 0; i < len(about); i += 2 {
			if text := about[i+1].(string); text != "" {
				s.span.SetAttributes(attribute.String("tutti."+about[i].(string), text))
			}
		}
	}
	if log, ok := ctx.Value(logKey{}).(*slog.Logger); ok && what != "" {
		s.log, s.about, s.began = log, about, time.Now()
		if c := s.span.SpanContext(); c.IsValid() {
			s.about = append(s.about, "trace_id", c.TraceID().String(), "span_id", c.SpanID().String())
		}
		log.Info(what+" begins", s.about...)
	}
	return ctx, s
}

// End says how it ended, in a word: succeeded, failed, cancelled, …
func (s Span) End(outcome string, failed bool) {
	if s.span == nil {
		return
	}
	if s.span.IsRecording() {
		s.span.SetAttributes(attribute.String("tutti.outcome", outcome))
		if failed {
			s.span.SetStatus(codes.Error, outcome)
		}
	}
	s.span.End()
	if s.log != nil {
		level := slog.LevelInfo
		if failed {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, s.what+" ends", append(s.about, "outcome", outcome, "took", time.Since(s.began).Round(time.Microsecond))...)
	}
}
