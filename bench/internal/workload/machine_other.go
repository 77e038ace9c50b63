//go:build !linux

package workload

// InMemory reports whether a folder is known to be on no disk.
func InMemory(string) bool { return false }

// Resident is the resident size of a process in bytes; 0 where it is not known.
func Resident(int) int64 { return 0 }
