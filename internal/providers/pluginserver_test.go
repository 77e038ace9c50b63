package providers

import (
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/zclconf/go-cty/cty"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The methods of the test provider. The name of a thing selects what happens to
// it: crash, malformed, json, absent, refused, internal; else all goes well.

func (s served) validateProvider(req *wire.ValidateProviderRequest) (proto.Message, error) {
	resp := &wire.ValidateProviderResponse{}
	if s.version == 5 {
		ty := cty.Object(map[string]cty.Type{"region": cty.String})
		resp.PreparedConfig = packed(cty.ObjectVal(map[string]cty.Value{"region": cty.StringVal("default")}), ty)
	}
	return resp, nil
}

func validateThing(req *wire.ValidateRequest) (proto.Message, error) {
	resp := &wire.DiagnosticsResponse{}
	if name := thing(req.GetConfig()).GetAttr("name"); name.IsKnown() && name.AsString() == "refused" {
		resp.Diagnostics = refuse("Bad name", "name")
	}
	return resp, nil
}

func configureProvider(req *wire.ConfigureRequest) (proto.Message, error) {
	if req.GetTerraformVersion() == "" {
		return &wire.DiagnosticsResponse{Diagnostics: refuse("No version")}, nil
	}
	return &wire.DiagnosticsResponse{}, nil
}

func upgradeThing(req *wire.UpgradeRequest) (proto.Message, error) {
	// Stored JSON goes back as JSON: the client must read both forms.
	return &wire.UpgradeStateResponse{UpgradedState: &wire.Value{Json: req.GetRawState().GetJson()}}, nil
}

func readThing(req *wire.ReadRequest) (proto.Message, error) {
	v := thing(req.GetCurrentState())
	if v.GetAttr("name").AsString() == "absent" {
		return &wire.ReadResponse{NewState: packed(cty.NullVal(thingType), thingType)}, nil
	}
	return &wire.ReadResponse{NewState: req.GetCurrentState(), Private: append(req.GetPrivate(), '+'), NewIdentity: req.GetCurrentIdentity()}, nil
}

func planThing(req *wire.PlanRequest) (proto.Message, error) {
	v := thing(req.GetProposedNewState())
	if v.IsNull() {
		return &wire.PlanResponse{PlannedState: req.GetProposedNewState()}, nil
	}
	if v.GetAttr("name").AsString() == "malformed" {
		return &wire.PlanResponse{PlannedState: &wire.Value{Msgpack: []byte{0xc1, 0xff}}}, nil
	}
	name := &wire.Path{Steps: []*wire.Path_Step{{Selector: &wire.Path_Step_AttributeName{AttributeName: "name"}}}}
	return &wire.PlanResponse{
		PlannedState: packed(with(v, "id", cty.UnknownVal(cty.String)), thingType), PlannedPrivate: []byte("planned"),
		RequiresReplace: []*wire.Path{name}, LegacyTypeSystem: true,
	}, nil
}

func applyThing(req *wire.ApplyRequest) (proto.Message, error) {
	v := thing(req.GetPlannedState())
	if v.IsNull() {
		return &wire.ApplyResponse{NewState: req.GetPlannedState()}, nil
	}
	made := with(v, "id", cty.StringVal("thing-1"))
	switch v.GetAttr("name").AsString() {
	case "crash":
		panic("out of luck")
	case "internal":
		return nil, failure("the database is on fire")
	case "malformed":
		return &wire.ApplyResponse{NewState: packed(cty.StringVal("not an object"), cty.String)}, nil
	case "json":
		return &wire.ApplyResponse{NewState: &wire.Value{Json: []byte(`{"id":"thing-1","name":"json","secret":null,"part":[{"size":12345678901234567890}]}`)}}, nil
	case "refused":
		return &wire.ApplyResponse{NewState: packed(made, thingType), Diagnostics: refuse("Half made", "name")}, nil
	}
	return &wire.ApplyResponse{NewState: packed(made, thingType), Private: req.GetPlannedPrivate(), NewIdentity: identityOf("thing-1")}, nil
}

func importThing(req *wire.ImportRequest) (proto.Message, error) {
	v := cty.ObjectVal(map[string]cty.Value{
		"id": cty.StringVal(req.GetId()), "name": cty.StringVal("found"), "secret": cty.NullVal(cty.String),
		"part": cty.NullVal(thingType.AttributeType("part")),
	})
	return &wire.ImportResponse{ImportedResources: []*wire.ImportedResource{
		{TypeName: req.GetTypeName(), State: packed(v, thingType), Private: []byte("imported"), Identity: identityOf(req.GetId())},
	}}, nil
}

func readData(req *wire.ReadDataRequest) (proto.Message, error) {
	if !req.GetClientCapabilities().GetDeferralAllowed() {
		return &wire.ReadDataResponse{State: packed(with(thing(req.GetConfig()), "id", cty.StringVal("read")), thingType)}, nil
	}
	return &wire.ReadDataResponse{State: req.GetConfig(), Deferred: &wire.Deferred{Reason: 3}}, nil
}

// renewal is when tickets are to be renewed.
func renewal() time.Time { return time.Unix(1700000000, 0).UTC() }

func openTicket(req *wire.OpenRequest) (proto.Message, error) {
	return &wire.OpenResponse{Result: req.GetConfig(), Private: []byte("ticket"), RenewAt: timestamppb.New(renewal())}, nil
}

func renewTicket(req *wire.EphemeralRequest) (proto.Message, error) {
	return &wire.RenewResponse{Private: append(req.GetPrivate(), '+')}, nil
}

func closeTicket(req *wire.EphemeralRequest) (proto.Message, error) {
	if string(req.GetPrivate()) != "ticket+" {
		return &wire.DiagnosticsResponse{Diagnostics: refuse("Not my ticket")}, nil
	}
	return &wire.DiagnosticsResponse{}, nil
}

func planRing(req *wire.ActionRequest) (proto.Message, error) {
	if thing(req.GetConfig()).GetAttr("name").AsString() == "absent" {
		return &wire.PlanActionResponse{Diagnostics: refuse("No such bell", "name")}, nil
	}
	return &wire.PlanActionResponse{}, nil
}

func invokeRing(_ any, stream grpc.ServerStream) error {
	req := &wire.ActionRequest{}
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	name := thing(req.GetConfig()).GetAttr("name").AsString()
	for _, word := range []string{"ding", "dong"} {
		event := &wire.ActionEvent{Type: &wire.ActionEvent_Progress{Progress: &wire.ActionProgress{Message: name + " " + word}}}
		if err := stream.SendMsg(event); err != nil {
			return err
		}
	}
	done := &wire.ActionCompleted{}
	switch name {
	case "internal":
		return failure("the rope broke")
	case "malformed":
		return nil // without an end
	case "refused":
		done.Diagnostics = refuse("It is night")
	}
	return stream.SendMsg(&wire.ActionEvent{Type: &wire.ActionEvent_Completed{Completed: done}})
}

func callFunction(req *wire.CallRequest) (proto.Message, error) {
	text := thingText(req.GetArguments()[0])
	blame := func(argument int64) (proto.Message, error) {
		return &wire.CallResponse{Error: &wire.FunctionError{Text: "too quiet", FunctionArgument: proto.Int64(argument)}}, nil
	}
	switch text {
	case "":
		return blame(0)
	case "nonsense":
		return blame(-7)
	}
	return &wire.CallResponse{Result: packed(cty.StringVal(strings.ToUpper(text)), cty.String)}, nil
}

func thingText(v *wire.Value) string {
	out, err := decodeValue(v, cty.String)
	if err != nil {
		panic(err)
	}
	return out.AsString()
}
