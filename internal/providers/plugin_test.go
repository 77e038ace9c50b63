package providers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/msgpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The test binary is its own provider: run with this variable set to a protocol
// version, it serves instead of testing.
const (
	serveVariable = "TUTTI_TEST_SERVE_PROTOCOL"
	callsVariable = "TUTTI_TEST_CALLS"    // a file that gets a line per call
	optionalSkip  = "TUTTI_TEST_OPTIONAL" // declare that asking for schemas is optional
)

func TestMain(m *testing.M) {
	switch protocol := os.Getenv(serveVariable); protocol {
	case "":
		os.Exit(m.Run())
	case "broken":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	default:
		servePlugin(protocol)
	}
}

// servePlugin is a provider of the protocol, until its parent ends it.
func servePlugin(protocol string) {
	record("start")
	version := 6
	if protocol == "5" {
		version = 5
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: map[int]plugin.PluginSet{version: {"provider": served{version: version}}},
		GRPCServer:       plugin.DefaultGRPCServer,
		Logger:           hclog.NewNullLogger(),
	})
}

func record(line string) {
	path := os.Getenv(callsVariable)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// served is the plugin's side.
type served struct {
	plugin.NetRPCUnsupportedPlugin
	version int
}

func (served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("this is a server")
}

// handle makes a gRPC method of a function.
func handle[Request any](full string, f func(*Request) (proto.Message, error)) grpc.MethodDesc {
	name := full[strings.LastIndex(full, "/")+1:]
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		req := new(Request)
		if err := decode(req); err != nil {
			return nil, err
		}
		record(name)
		return f(req)
	}}
}

// thingType is the type of the test provider's objects.
var thingType = cty.Object(map[string]cty.Type{
	"id": cty.String, "name": cty.String, "secret": cty.String, "part": cty.List(cty.Object(map[string]cty.Type{"size": cty.Number})),
})

func (s served) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	m := methodsOf(s.version)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: fmt.Sprintf("tfplugin%d.Provider", s.version), HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			handle(m.schema, s.schema),
			handle(m.identitySchemas, identitySchemas),
			handle(m.validateProvider, s.validateProvider),
			handle(m.validateResource, validateThing),
			handle(m.configure, configureProvider),
			handle(m.upgradeState, upgradeThing),
			handle(m.read, readThing),
			handle(m.plan, planThing),
			handle(m.apply, applyThing),
			handle(m.importState, importThing),
			handle(m.readData, readData),
			handle(m.openEphemeral, openTicket),
			handle(m.renewEphemeral, renewTicket),
			handle(m.closeEphemeral, closeTicket),
			handle(m.validateAction, validateThing),
			handle(m.planAction, planRing),
			handle(m.call, callFunction),
			handle(m.stop, func(*wire.Empty) (proto.Message, error) { return &wire.StopResponse{}, nil }),
		},
		Streams: []grpc.StreamDesc{{StreamName: "InvokeAction", ServerStreams: true, Handler: invokeRing}},
	}, struct{}{})
	return nil
}

func (s served) schema(*wire.Empty) (proto.Message, error) {
	capabilities := &wire.ServerCapabilities{PlanDestroy: true, GetProviderSchemaOptional: os.Getenv(optionalSkip) != ""}
	functions := map[string]*wire.Function{"shout": {
		Parameters: []*wire.Function_Parameter{{Name: "text", Type: []byte(`"string"`)}},
		Return:     &wire.Function_Return{Type: []byte(`"string"`)},
	}}
	if s.version == 5 {
		str := []byte(`"string"`)
		thing := &wire.Schema5{Version: 2, Block: &wire.Block5{
			Attributes: []*wire.Attribute5{
				{Name: "id", Type: str, Computed: true}, {Name: "name", Type: str, Required: true},
				{Name: "secret", Type: str, Optional: true, Sensitive: true, WriteOnly: true, DeprecationMessage: "use a key"},
			},
			BlockTypes: []*wire.NestedBlock5{{TypeName: "part", Nesting: 2, Block: &wire.Block5{
				Attributes: []*wire.Attribute5{{Name: "size", Type: []byte(`"number"`), Optional: true}},
			}}},
		}}
		return &wire.SchemaResponse5{
			Provider:        &wire.Schema5{Block: &wire.Block5{Attributes: []*wire.Attribute5{{Name: "region", Type: str, Optional: true}}}},
			ResourceSchemas: map[string]*wire.Schema5{"test_thing": thing}, DataSourceSchemas: map[string]*wire.Schema5{"test_thing": thing},
			EphemeralResourceSchemas: map[string]*wire.Schema5{"test_ticket": thing},
			ActionSchemas:            map[string]*wire.ActionSchema5{"test_ring": {Schema: thing}}, ServerCapabilities: capabilities, Functions: functions,
		}, nil
	}
	str := []byte(`"string"`)
	thing := &wire.Schema{Version: 2, Block: &wire.Block{
		Attributes: []*wire.Attribute{
			{Name: "id", Type: str, Computed: true}, {Name: "name", Type: str, Required: true},
			{Name: "secret", Type: str, Optional: true, Sensitive: true, WriteOnly: true, DeprecationMessage: "use a key"},
			{Name: "part", Optional: true, NestedType: &wire.Object{Nesting: 2, Attributes: []*wire.Attribute{{Name: "size", Type: []byte(`"number"`), Optional: true}}}},
		},
	}}
	return &wire.SchemaResponse{
		Provider:        &wire.Schema{Block: &wire.Block{Attributes: []*wire.Attribute{{Name: "region", Type: str, Optional: true}}}},
		ResourceSchemas: map[string]*wire.Schema{"test_thing": thing}, DataSourceSchemas: map[string]*wire.Schema{"test_thing": thing},
		EphemeralResourceSchemas: map[string]*wire.Schema{"test_ticket": thing},
		ActionSchemas:            map[string]*wire.ActionSchema{"test_ring": {Schema: thing}}, ServerCapabilities: capabilities, Functions: functions,
	}, nil
}

func identitySchemas(*wire.Empty) (proto.Message, error) {
	return &wire.IdentitySchemasResponse{IdentitySchemas: map[string]*wire.IdentitySchema{"test_thing": {
		Version: 1, Attributes: []*wire.IdentitySchema_Attribute{{Name: "id", Type: []byte(`"string"`), RequiredForImport: true}},
	}}}, nil
}

// thing reads an object; a provider that gets something else is a lost cause.
func thing(v *wire.Value) cty.Value {
	out, err := msgpack.Unmarshal(v.GetMsgpack(), thingType)
	if err != nil {
		panic(err)
	}
	return out
}

func packed(v cty.Value, ty cty.Type) *wire.Value {
	data, err := msgpack.Marshal(v, ty)
	if err != nil {
		panic(err)
	}
	return &wire.Value{Msgpack: data}
}

// with replaces an attribute.
func with(v cty.Value, name string, attr cty.Value) cty.Value {
	attrs := v.AsValueMap()
	attrs[name] = attr
	return cty.ObjectVal(attrs)
}

func identityOf(id string) *wire.Identity {
	v := cty.ObjectVal(map[string]cty.Value{"id": cty.StringVal(id)})
	return &wire.Identity{Data: packed(v, v.Type())}
}

func refuse(summary string, path ...string) []*wire.Diagnostic {
	d := &wire.Diagnostic{Severity: wire.Diagnostic_ERROR, Summary: summary}
	for _, name := range path {
		if d.Attribute == nil {
			d.Attribute = &wire.Path{}
		}
		d.Attribute.Steps = append(d.Attribute.Steps, &wire.Path_Step{Selector: &wire.Path_Step_AttributeName{AttributeName: name}})
	}
	return []*wire.Diagnostic{d}
}

// failure is a gRPC error that says nothing about the connection.
func failure(text string) error { return status.Error(codes.Internal, text) }
