// Package cost says what a plan comes to in money: what its resources cost a
// month before and after, by component, and what of that is not known.
//
//	price book ─┐
//	usage ──────┼─► Estimate ─► Judge(budget) ─► diagnostics
//	instances ──┘
//
// [Instance] is the one form in which resources come in: from a plan of the
// engine ([FromPlan]), from a state ([FromState]) or from plan JSON
// ([FromPlanJSON]). A [Book] is rows of prices, the user's before ours. What
// cannot be known is named with its reason and never taken as zero: an attribute
// that is known after apply, a type that is not in the book, usage that nobody
// gave.
//
// Amounts are exact ([Amount]) and rounded only where they are shown. Amounts of
// different currencies are never added.
//
// The package is pure: it reads no files and knows no clock.
package cost
