// Package work is what a server does beyond its store: [Work] answers what its API asks
// for (projects, permissions, changes, plans, drift), an [Observer] looks at stacks,
// [Triggers] start runs by themselves, and [ServeNotify] tells others.
//
// It only makes runs. They are carried out by the driver beside it, as those of anybody
// else are.
package work
