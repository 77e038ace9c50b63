package operations

import (
	"context"
	"time"
)

// hardKey is the context key of the second interrupt.
type hardKey struct{}

// WithHard is ctx with the context that only a second interrupt cancels.
func WithHard(ctx, hard context.Context) context.Context {
	return context.WithValue(ctx, hardKey{}, hard)
}

// Hard returns the context that only a second interrupt cancels.
func Hard(ctx context.Context) context.Context {
	if hard, ok := ctx.Value(hardKey{}).(context.Context); ok {
		return hard
	}
	return ctx
}

// Within returns a context whose [Hard] ends by itself so long after the
// first interrupt; 0 for never. let is to be called when nothing needs it any more.
func Within(ctx context.Context, limit time.Duration) (_ context.Context, let func()) {
	hard, end := context.WithCancel(Hard(ctx))
	if limit > 0 {
		context.AfterFunc(ctx, func() {
			select {
			case <-time.After(limit):
				end()
			case <-hard.Done():
			}
		})
	}
	return WithHard(ctx, hard), end
}
