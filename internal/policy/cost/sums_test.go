package cost_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/policy/cost/costtest"
)

// TestSums holds the arithmetic of random plans: the parts are the total, and the
// difference is after less before, to the last digit.
func TestSums(t *testing.T) {
	rows, diags := cost.Defaults()
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	b := cost.NewBook(nil, rows)
	for seed := range uint64(50) {
		e := b.Estimate(costtest.Random(rand.New(rand.NewPCG(seed, 1)), 60), nil)
		before, after := cost.Amount{}, cost.Amount{}
		unknown := 0
		for _, item := range e.Items {
			lack := false
			for i, side := range []*cost.Side{item.Before, item.After} {
				if side == nil {
					continue
				}
				for _, p := range side.Components {
					if p.Unknown != "" {
						continue
					}
					if i == 0 {
						before = before.Plus(p.Monthly)
					} else {
						after = after.Plus(p.Monthly)
					}
				}
				lack = len(side.Unknown) > 0
			}
			if lack {
				unknown++
			}
		}
		total := e.In("USD")
		if total.Before.Compare(before) != 0 || total.After.Compare(after) != 0 {
			t.Errorf("seed %d: total %s -> %s, parts %s -> %s", seed, total.Before, total.After, before, after)
		}
		if total.Difference.Compare(total.After.Minus(total.Before)) != 0 {
			t.Errorf("seed %d: difference %s", seed, total.Difference)
		}
		if unknown != e.Unknown {
			t.Errorf("seed %d: %d unknown, counted %d", seed, e.Unknown, unknown)
		}
		if half := len(e.Items) / 2; half > 0 {
			joined := cost.Join(&cost.Estimate{Items: e.Items[:half]}, &cost.Estimate{Items: e.Items[half:]})
			if joined.In("USD").After.Compare(total.After) != 0 || joined.Unknown != e.Unknown {
				t.Errorf("seed %d: joined halves are not the whole", seed)
			}
		}
	}
}
