//go:build !unix

package secrets

// NoCore does nothing where the system writes no memory to files.
func NoCore() {}
