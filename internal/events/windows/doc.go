// Package windows decides from events over time when a trigger fires: so many of them
// within a while, one that did not come, all of several, several in order. It keeps
// out what comes twice, what comes too often, and what would go round in circles.
//
//	(event, now) ─Window.Take─► firings, refusals, next deadline
//	       now   ─Window.Advance─►
//
// It is a pure machine: time comes in with what happens, and what it knows can be
// written down ([Window.Save]) and read again at any point. The same events at the
// same times give the same firings, so that either that or what went in may be kept.
//
// A while is half open: what happens exactly when it ends is too late for it.
package windows
