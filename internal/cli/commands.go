package cli

// commands is the table of all commands, in the order of the help: first what
// people do every day, then the rest by name.
func commands() *command {
	return &command{sub: []*command{
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
		aslCommand(),
		completionCommand(),
		consoleCommand(),
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
		providersCommand(),
		refreshCommand(),
		rollbackCommand(),
		stateCommand(),
		taintCommand(),
		testCommand(),
		untaintCommand(),
		versionCommand(),
		workspaceCommand(),
	}}
}
