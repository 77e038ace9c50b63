// Package cli is the command line: one file per command, and the wiring that
// connects a command to the rooms that do its work.
//
// The way in is [Main]. It finds the command in the table of commands.go,
// parses its flags (Terraform's names and meanings, with one dash or two, in
// front of the arguments or between them), runs it and returns the exit code.
//
// A command is a value of type command: words for the help, a function that
// registers flags, and an action. Actions return an exit code and print through
// the views package; they know no terminal codes and no JSON layouts.
//
// What is done stands in rooms below: project opens what is worked on, gate holds
// it to the rules, operations plans and carries out, server/work is what a server
// does. What several commands need of them is in opened.go (operations, with where
// people are told of them), options.go (flags) and interrupt.go (what Ctrl-C means).
//
// Standard output carries the result; diagnostics of severity error go to
// standard error, except where -json was given: then standard output is JSON
// only and nothing else is printed.
package cli
