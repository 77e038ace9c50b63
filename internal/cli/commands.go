package cli

// commands is the table of all commands, in the order of the help: first what
// people do every day, then the rest by name.
func commands() *command {
	root := &command{sub: []*command{
		initCommand(),
		validateCommand(),
		planCommand(),
		applyCommand(),
		destroyCommand(),
		showCommand(),
		outputCommand(),
		runCommand(),
		runsCommand(),
		resumeCommand(),
		cancelCommand(),
		logsCommand(),
		approveCommand(),
		accessCommand(),
		aslCommand(),
		auditCommand(),
		backfillCommand(),
		completionCommand(),
		consoleCommand(),
		costCommand(),
		deliveriesCommand(),
		driftCommand(),
		fmtCommand(),
		forceUnlockCommand(),
		getCommand(),
		graphCommand(),
		helpCommand(),
		importCommand(),
		loginCommand(),
		logoutCommand(),
		metadataCommand(),
		modulesCommand(),
		policyCommand(),
		poolsCommand(),
		providersCommand(),
		refreshCommand(),
		rejectCommand(),
		rollbackCommand(),
		runnerCommand(),
		schedulesCommand(),
		serverCommand(),
		secretCommand(),
		signalCommand(),
		stateCommand(),
		storeCommand(),
		taintCommand(),
		testCommand(),
		tokenCommand(),
		untaintCommand(),
		versionCommand(),
		whoamiCommand(),
		workflowCommand(),
		workspaceCommand(),
	}}
	for _, c := range root.sub {
		c.setScope(scopes[c.name])
	}
	return root
}

// scopes says what of a project each command works on; commands that are not
// listed do not care.
var scopes = map[string]scope{
	"apply": severalScope, "cost": severalScope, "destroy": severalScope, "drift": severalScope, "init": severalScope, "output": severalScope, "plan": severalScope,
	"refresh": severalScope, "show": severalScope, "validate": severalScope,

	"console": stackScope, "get": stackScope, "graph": stackScope, "import": stackScope, "modules": stackScope, "policy": stackScope,
	"providers": stackScope, "state": stackScope, "taint": stackScope, "test": stackScope, "untaint": stackScope,

	"cancel": wholeScope, "force-unlock": wholeScope, "resume": wholeScope, "rollback": wholeScope, "run": wholeScope,
	"runs": wholeScope, "secret": wholeScope, "server": wholeScope, "store": wholeScope,
}

// anyone are the commands that act for nobody: they keep nothing in the
// store, and do not ask who somebody is, or do so themselves.
var anyone = map[string]bool{
	"completion": true, "fmt": true, "get": true, "graph": true, "help": true, "login": true, "logout": true,
	"metadata": true, "modules": true, "validate": true, "version": true, "whoami": true,
}

func (c *command) setScope(s scope) {
	c.scope = s
	for _, sub := range c.sub {
		sub.setScope(s)
	}
}
