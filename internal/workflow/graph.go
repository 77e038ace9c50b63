package workflow

import "fmt"

// Graph is the [Machine] of things that need each other: a step may start once
// all it needs has succeeded. A step that failed or was lost halts what depends
// on it, directly or not; everything else goes on.
//
// The cost of an entry is proportional to the steps it lets start. A Graph is
// not safe for concurrent use.
type Graph struct {
	waiting []int32 // needs that have not succeeded, per step
	status  []stepStatus
	// Dependents of step i are targets[offsets[i]:offsets[i+1]].
	offsets []int32
	targets []int32

	last      int64 // sequence number of the last entry
	begun     bool
	cancelled bool
	finished  bool

	running   int // intents without outcome
	ready     int // may start
	succeeded int // gates not counted
	failed    int // failed or lost
	steps     int // gates not counted

	commands []Command // given out by the last Apply
	opened   []int32   // work list of open
}

type stepStatus byte

const (
	stepWaiting stepStatus = iota
	stepReady
	stepRunning
	stepSucceeded
	stepFailed
	stepLost
	gateWaiting
	gatePassed
)

// NewGraph makes a machine of len(needs) steps; needs lists for each the steps
// before it. A step for which gate is true (gate may be nil or shorter) has no
// work: it succeeds by itself once all it needs has, without entries. Needs
// must be in range; steps on a cycle never start.
func NewGraph(needs [][]int, gate []bool) *Graph {
	n := len(needs)
	g := &Graph{
		waiting: make([]int32, n),
		status:  make([]stepStatus, n),
		offsets: make([]int32, n+1),
	}
	total := 0
	for step, list := range needs {
		g.waiting[step] = int32(len(list))
		total += len(list)
		for _, need := range list {
			g.offsets[need+1]++
		}
		if step < len(gate) && gate[step] {
			g.status[step] = gateWaiting
		} else {
			g.steps++
		}
	}
	for i := range n {
		g.offsets[i+1] += g.offsets[i]
	}
	g.targets = make([]int32, total)
	next := append([]int32(nil), g.offsets...)
	for step, list := range needs {
		for _, need := range list {
			g.targets[next[need]] = int32(step)
			next[need]++
		}
	}
	for step := range needs {
		if g.waiting[step] == 0 {
			g.opened = append(g.opened, int32(step))
		}
	}
	g.open(nil)
	return g
}

// open makes the steps of the work list ready; gates pass at once and open
// what is behind them. Steps that became ready are given to emit.
func (g *Graph) open(emit func(step int)) {
	for len(g.opened) > 0 {
		step := g.opened[len(g.opened)-1]
		g.opened = g.opened[:len(g.opened)-1]
		if g.status[step] == gateWaiting {
			g.status[step] = gatePassed
			g.release(step)
			continue
		}
		g.status[step] = stepReady
		g.ready++
		if emit != nil {
			emit(int(step))
		}
	}
}

// release tells the dependents of a step that it succeeded. The work list grows
// by those that wait for nothing else; it is in falling order, so that they are
// taken from its end by rising number.
func (g *Graph) release(step int32) {
	dependents := g.targets[g.offsets[step]:g.offsets[step+1]]
	for i := len(dependents) - 1; i >= 0; i-- {
		d := dependents[i]
		if g.waiting[d]--; g.waiting[d] == 0 {
			g.opened = append(g.opened, d)
		}
	}
}

// Apply takes the next entry of the journal. The commands are valid until the
// next call. [StartStep] is given once for every step, and again for all that
// have not started after [RunResumed]; [FinishRun] whenever nothing is running
// and nothing more may start. Outcomes are taken without a [StepStarted] before
// them, because harmless steps need no recorded intent.
func (g *Graph) Apply(e Entry) ([]Command, error) {
	if err := g.check(e); err != nil {
		return nil, err
	}
	g.last = e.Sequence
	g.commands = g.commands[:0]
	switch e.Kind {
	case RunStarted:
		g.begun = true
		g.startReady()
	case RunResumed:
		g.cancelled = false
		g.startReady()
	case CancelRequested:
		g.cancelled = true
	case StepStarted:
		g.status[e.Step] = stepRunning
		g.ready--
		g.running++
		return nil, nil
	case StepWithdrawn:
		g.status[e.Step] = stepReady
		g.running--
		g.ready++
		g.start(e.Step)
	case StepSucceeded:
		g.end(e.Step, stepSucceeded)
		g.succeeded++
		g.release(int32(e.Step))
		g.open(g.start)
	case StepFailed:
		g.end(e.Step, stepFailed)
		g.failed++
	case StepLost:
		g.end(e.Step, stepLost)
		g.failed++
	case RunFinished:
		g.finished = true
		return nil, nil
	}
	if g.running == 0 && (g.cancelled || g.ready == 0) {
		g.commands = append(g.commands, Command{Kind: FinishRun, Step: -1})
	}
	return g.commands, nil
}

func (g *Graph) start(step int) {
	if !g.cancelled {
		g.commands = append(g.commands, Command{Kind: StartStep, Step: step})
	}
}

func (g *Graph) startReady() {
	for step, status := range g.status {
		if status == stepReady {
			g.start(step)
		}
	}
}

func (g *Graph) end(step int, status stepStatus) {
	if g.status[step] == stepRunning {
		g.running--
	} else {
		g.ready--
	}
	g.status[step] = status
}

// check says why an entry cannot follow.
func (g *Graph) check(e Entry) error {
	switch {
	case e.Sequence != g.last+1:
		return fmt.Errorf("entry %d cannot follow entry %d of the journal", e.Sequence, g.last)
	case g.finished:
		return fmt.Errorf("entry %d (%s) comes after the end of the run", e.Sequence, e.Kind)
	case g.begun == (e.Kind == RunStarted):
		return fmt.Errorf("entry %d (%s) is not where a run starts", e.Sequence, e.Kind)
	}
	switch e.Kind {
	case RunStarted, RunResumed, CancelRequested, RunFinished:
		return nil
	case StepStarted, StepWithdrawn, StepSucceeded, StepFailed, StepLost:
	default:
		return fmt.Errorf("entry %d is of the unknown kind %q", e.Sequence, e.Kind)
	}
	if e.Step < 0 || e.Step >= len(g.status) {
		return fmt.Errorf("entry %d (%s) is about step %d, which the run does not have", e.Sequence, e.Kind, e.Step)
	}
	status := g.status[e.Step]
	fits := status == stepRunning
	switch e.Kind {
	case StepStarted:
		fits = status == stepReady
	case StepSucceeded, StepFailed, StepLost:
		fits = fits || status == stepReady
	}
	if !fits {
		return fmt.Errorf("entry %d (%s) does not fit step %d as it stands", e.Sequence, e.Kind, e.Step)
	}
	return nil
}

// Last returns the sequence number of the last entry applied; 0 for none.
func (g *Graph) Last() int64 { return g.last }

// Running lists the steps whose intent was recorded and whose outcome was not,
// by number. After replaying the journal of a dead run they are in doubt.
func (g *Graph) Running() []int { return g.list(stepRunning) }

// Ready lists the steps that may start, by number.
func (g *Graph) Ready() []int { return g.list(stepReady) }

func (g *Graph) list(status stepStatus) []int {
	var out []int
	for step, s := range g.status {
		if s == status {
			out = append(out, step)
		}
	}
	return out
}

// Steps counts the steps, Succeeded and Failed those that ended well and those
// that did not. Gates are not counted.
func (g *Graph) Steps() int { return g.steps }

// Succeeded counts the steps that succeeded.
func (g *Graph) Succeeded() int { return g.succeeded }

// Failed counts the steps that failed or were lost.
func (g *Graph) Failed() int { return g.failed }

// Exhausted reports whether nothing is running and nothing could start even
// without a cancel: what has not ended depends on something that failed.
func (g *Graph) Exhausted() bool { return g.running == 0 && g.ready == 0 }

// Finished reports whether the journal has its end.
func (g *Graph) Finished() bool { return g.finished }
