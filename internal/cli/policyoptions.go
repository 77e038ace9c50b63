package cli

// policyOptions are the flags about policies; -override is that of budgets too.
type policyOptions struct{ dirs []string }

func (o *policyOptions) register(f *flagSet) {
	f.list(&o.dirs, "policy", "DIR", "Hold the plan to the Rego rules in this directory too, as a mandatory policy; DIR?decision=PACKAGE/RULE asks for a decision that is true or false, DIR?data=DIR adds data documents; tutti:library are the rules that come with Tutti. May be given several times.")
}

// gateOptions are the flags of commands that pass the gate.
type gateOptions struct {
	policyOptions
	overrides []string
}

func (o *gateOptions) register(f *flagSet) {
	o.policyOptions.register(f)
	registerOverride(f, &o.overrides)
}

// hold has the command hold what it does to these options.
func (o *gateOptions) hold(a *App) { a.MorePolicies, a.Overrides = o.policyOptions.dirs, o.overrides }

// registerOverride registers -override.
func registerOverride(f *flagSet, into *[]string) {
	f.list(into, "override", "NAME=REASON", "Go on although this soft-mandatory budget is exceeded or this soft-mandatory policy denies it. Needs the permission \"override\"; the reason is recorded. May be given several times.")
}
