// Package observer looks at stacks again and again, to see whether the real
// objects still are as they were left, and says what it found.
//
// What to do is decided by pure functions: [Record.After] says what becomes of
// what is known of a stack with one more look, [Changes] what a plan found
// different. An [Observer] does it at the right time, each stack by itself, and
// [Budgets] hold reads of objects to what their providers bear.
package observer
