package cli

import "runtime/debug"

// terraformVersion is the release of the language and of the JSON formats that
// this program behaves as. Providers, modules and tools compare it.
const terraformVersion = "1.15.0"

// programVersion is this program's own version, as the build recorded it.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.1.0-dev"
	}
	return info.Main.Version
}
