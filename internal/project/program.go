package project

import "runtime/debug"

// TerraformVersion is the release of the language and of the JSON formats that
// this program behaves as. Providers, modules and tools compare it.
const TerraformVersion = "1.15.0"

// ProgramVersion is this program's own version, as the build recorded it.
func ProgramVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.1.0-dev"
	}
	return info.Main.Version
}
