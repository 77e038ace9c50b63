// Package project opens what commands and servers work on: the directory of a
// configuration, or a project of stacks, with its store, environment, providers,
// variables and secrets. A [Session] says for whom that is done and holds what it has
// in common; a [Directory] is a configuration and all that belongs to it; an [Ensemble]
// is a project of stacks.
//
// It plans nothing and judges nothing: that is for the rooms above. People are told
// things, and asked, through the [Terminal] of the session.
package project
