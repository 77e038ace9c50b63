//go:build unix

package secrets

import "syscall"

// NoCore keeps the system from writing the memory of this program, which has
// secrets in it, to a file when it crashes, and that of the commands it starts
// unless they ask for it. It fails silently: the limit may be there already.
func NoCore() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) == nil {
		limit.Cur = 0
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit)
	}
}
