//go:build !linux

package workload

import "time"

// InMemory reports whether a folder is known to be on no disk.
func InMemory(string) bool { return false }

// Resident is the resident size of a process in bytes; 0 where it is not known.
func Resident(int) int64 { return 0 }

// Processor is the processor time that a process has used; 0 where it is not
// known.
func Processor(int) time.Duration { return 0 }
