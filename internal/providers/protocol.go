package providers

// methods are the full gRPC names of a protocol's methods. Protocols 5 and 6
// call the same things by different names.
type methods struct {
	schema, identitySchemas, functions, call              string
	validateProvider, validateResource, validateData      string
	validateEphemeral, configure, stop                    string
	upgradeState, upgradeIdentity, moveState, importState string
	read, plan, apply, readData                           string
	openEphemeral, renewEphemeral, closeEphemeral         string
	validateAction, planAction, invokeAction              string
}

const (
	service5 = "/tfplugin5.Provider/"
	service6 = "/tfplugin6.Provider/"
)

// commonMethods are those whose names are the same in both protocols.
func commonMethods(service string) methods {
	return methods{
		identitySchemas: service + "GetResourceIdentitySchemas", functions: service + "GetFunctions", call: service + "CallFunction",
		validateEphemeral: service + "ValidateEphemeralResourceConfig",
		upgradeState:      service + "UpgradeResourceState", upgradeIdentity: service + "UpgradeResourceIdentity",
		moveState: service + "MoveResourceState", importState: service + "ImportResourceState",
		read: service + "ReadResource", plan: service + "PlanResourceChange", apply: service + "ApplyResourceChange", readData: service + "ReadDataSource",
		openEphemeral: service + "OpenEphemeralResource", renewEphemeral: service + "RenewEphemeralResource", closeEphemeral: service + "CloseEphemeralResource",
		validateAction: service + "ValidateActionConfig", planAction: service + "PlanAction", invokeAction: service + "InvokeAction",
	}
}

func methodsOf(protocol int) methods {
	if protocol == 5 {
		m := commonMethods(service5)
		m.schema, m.validateProvider, m.validateResource = service5+"GetSchema", service5+"PrepareProviderConfig", service5+"ValidateResourceTypeConfig"
		m.validateData, m.configure, m.stop = service5+"ValidateDataSourceConfig", service5+"Configure", service5+"Stop"
		return m
	}
	m := commonMethods(service6)
	m.schema, m.validateProvider, m.validateResource = service6+"GetProviderSchema", service6+"ValidateProviderConfig", service6+"ValidateResourceConfig"
	m.validateData, m.configure, m.stop = service6+"ValidateDataResourceConfig", service6+"ConfigureProvider", service6+"StopProvider"
	return m
}
