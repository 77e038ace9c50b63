// Package triggers starts runs of workflows from outside: by schedules, and for
// instants of the past by hand.
//
//	trigger blocks ─Read─► Trigger ─Scheduler─► instants taken ─Runs─► runs
//
// A [Scheduler] decides what is due and has it started. What it decides by is in
// the store alone: up to which instant a schedule is done with, and which instants
// are open, that is taken by somebody and not yet done with. It looks at a schedule
// when an instant comes, when a run of it ends, and when it has to look again; then
// it reads what is there and does what is missing, whoever did the rest. So it does
// not matter whether it just started, whether another process works on the same
// schedules, or where one died:
//
//   - An instant is taken before its run is started, in one transaction with what
//     the overlap policy says about it. The run's id follows from the instant
//     ([RunID]), so starting it twice is starting it once.
//   - An instant that is open and has no run, or one that was interrupted, is
//     started or gone on with by whoever finds it.
//   - An instant stops being open when somebody has seen that its run has ended.
//
// The run of an instant exists at most once for all time; it exists once for every
// instant taken, unless a policy, a person or an error that is recorded is against
// it.
package triggers
