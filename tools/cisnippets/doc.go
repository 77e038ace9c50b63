// Package cisnippets checks that the files of CI systems in docs/ci.md are what these
// systems take: its tests are all there is. It is a module of its own, so that nothing
// else depends on what they are checked with.
package cisnippets
