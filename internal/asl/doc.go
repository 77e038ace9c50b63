// Package asl runs state machines written in the Amazon States Language
// (https://states-language.net/spec.html, with the query language and variables
// that AWS Step Functions added in 2024).
//
// A [Machine] is a pure [github.com/tutti-dev/tutti/internal/workflow.Machine]:
// entries of a journal go in, effects to start come out. Everything that needs
// no effect (Pass, Choice, Map and Parallel around them) happens inside one
// entry. What a machine does is told as a [Event] history in the form of the
// Step Functions API.
package asl
