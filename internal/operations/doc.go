// Package operations does what is done with the configuration of a directory, or with
// several stacks together: it plans, has plans pass the gate, and carries them out as
// durable runs, which it takes up again after a crash. An [Operation] is about one
// directory, an [EnsembleOperation] about several stacks, and a [StackRunner] does both
// for the steps of workflows.
//
// What happens is told to a [View]. Who asks is a command, the driver of runs, or a
// server: none of them is known here.
package operations
