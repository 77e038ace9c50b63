package providers

import (
	"context"
	"errors"
	"io"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/zclconf/go-cty/cty"
	"google.golang.org/grpc"
)

// ActionInvoker is a [Provider] that can carry out actions of its own: things to
// do that are no objects. The plugin client is one; whether the provider behind
// it has actions its schemas say.
type ActionInvoker interface {
	ValidateActionConfig(ctx context.Context, typeName string, config cty.Value) diag.List
	// PlanAction lets the provider judge whether it could do it; configured.
	PlanAction(ctx context.Context, typeName string, config cty.Value) diag.List
	// InvokeAction does it; configured. progress is told what the provider says
	// meanwhile.
	InvokeAction(ctx context.Context, typeName string, config cty.Value, progress func(string)) diag.List
}

var _ ActionInvoker = (*client)(nil)

const actionKind = "action"

// ValidateActionConfig implements ActionInvoker.
func (c *client) ValidateActionConfig(ctx context.Context, typeName string, config cty.Value) diag.List {
	return c.validate(ctx, c.methods.validateAction, actionKind, typeName, config)
}

func (c *client) actionRequest(ctx context.Context, typeName string, config cty.Value) (*wire.ActionRequest, diag.List) {
	schema, diags := c.schemaFor(ctx, actionKind, typeName)
	if diags.HasErrors() {
		return nil, diags
	}
	value, err := encodeValue(config, schema.Block.ImpliedType())
	if err != nil {
		return nil, diag.FromError(err)
	}
	return &wire.ActionRequest{ActionType: typeName, Config: value, ClientCapabilities: capabilities(false)}, nil
}

// PlanAction implements ActionInvoker.
func (c *client) PlanAction(ctx context.Context, typeName string, config cty.Value) diag.List {
	req, diags := c.actionRequest(ctx, typeName, config)
	if diags.HasErrors() {
		return diags
	}
	resp := &wire.PlanActionResponse{}
	if diags := c.invoke(ctx, c.methods.planAction, req, resp); diags != nil {
		return diags
	}
	return decodeDiagnostics(resp.GetDiagnostics())
}

// InvokeAction implements ActionInvoker.
func (c *client) InvokeAction(ctx context.Context, typeName string, config cty.Value, progress func(string)) diag.List {
	req, diags := c.actionRequest(ctx, typeName, config)
	if diags.HasErrors() {
		return diags
	}
	if diags := c.introduce(ctx); diags.HasErrors() {
		return diags
	}
	method := c.methods.invokeAction
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err == nil {
		err = stream.SendMsg(req)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil {
		return c.broken(ctx, method, err)
	}
	ended := false
	for {
		event := &wire.ActionEvent{}
		err := stream.RecvMsg(event)
		switch {
		case errors.Is(err, io.EOF) && ended:
			return diags
		case errors.Is(err, io.EOF):
			return append(diags, c.malformed("no end of the action", io.ErrUnexpectedEOF)...)
		case err != nil:
			return append(diags, c.broken(ctx, method, err)...)
		}
		if p := event.GetProgress(); p != nil {
			progress(p.GetMessage())
		}
		if done := event.GetCompleted(); done != nil {
			ended = true
			diags = append(diags, decodeDiagnostics(done.GetDiagnostics())...)
		}
	}
}
