// Package flow runs the workflows of a project (workflow blocks of *.tutti.hcl).
//
// A [Machine] is a pure [github.com/tutti-dev/tutti/internal/workflow.Machine]:
// entries of a journal go in, effects to start come out. Whatever the outside
// has to say (outputs of stacks, signals, the time) arrives in entries, so that
// replaying a journal rebuilds the machine exactly.
//
// Steps are nodes of a graph, references and needs its edges. A node starts
// when all it needs has ended; it halts where one of them failed, unless its
// condition asks about that. A node has one item, or one for each element of
// for_each; an item is tried until it succeeds or its retries are used up. When
// nothing is left to do, what succeeded is undone if the workflow failed, and
// the steps of on_failure and finally follow.
//
// The work an entry makes is proportional to the steps it lets start.
package flow
