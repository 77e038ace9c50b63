package views

import (
	"fmt"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
)

// StackHeader begins what is said of one stack among several.
func (t *Terminal) StackHeader(name string) {
	t.Rule()
	t.printf("\n%s\n", t.paint(bold, "Stack "+name))
}

// StackTotal sums up what is planned for, or was done to, several stacks.
func (t *Terminal) StackTotal(stacks int, n plans.Counts, operation string) {
	t.Rule()
	t.printf("\n%s %s\n", t.paint(bold, fmt.Sprintf("Total of %d %s:", stacks, plural(stacks, "stack"))), totalText(n, operation))
}

func totalText(n plans.Counts, operation string) string {
	text := fmt.Sprintf("%d to add, %d to change, %d to destroy", n.Add, n.Change, n.Destroy)
	if operation != "plan" {
		text = fmt.Sprintf("%d added, %d changed, %d destroyed", n.Add, n.Change, n.Destroy)
	}
	more := func(count int, verb string) {
		if count > 0 && operation == "plan" {
			text += fmt.Sprintf(", %d to %s", count, verb)
		}
	}
	more(n.Import, "import")
	more(n.Forget, "forget")
	more(n.Move, "move")
	return text + "."
}

// Total writes the totals of several stacks: a change_summary of no stack.
func (s *Stream) Total(n plans.Counts, operation string) {
	s.write(message{Message: "Total: " + totalText(n, operation), Type: "change_summary", Changes: &streamTotals{
		Add: n.Add, Change: n.Change, Import: n.Import, Remove: n.Destroy, Forget: n.Forget, Operation: operation,
	}})
}

// Moves writes that an object is going to belong to another stack.
func (s *Stream) Moves(object addrs.Object, stack string, as addrs.Object) {
	from := streamResourceOf(object.Instance)
	s.write(message{
		Message: fmt.Sprintf("%s: Moves to stack.%s.%s", object.Instance, stack, as.Instance), Type: "planned_change",
		Change: &streamChange{Resource: streamResourceOf(as.Instance), PreviousResource: &from, Action: "move"}, ToStack: stack,
	})
}
