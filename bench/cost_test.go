package bench

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/policy/cost/costtest"
)

// maxEstimate is how long pricing 10,000 resources may take on any machine.
const maxEstimate = time.Second

// BenchmarkEstimate prices 10,000 resources with our price book.
func BenchmarkEstimate(b *testing.B) {
	rows, diags := cost.Defaults("aws")
	if diags.HasErrors() {
		b.Fatal(diags.Err())
	}
	book := cost.NewBook(nil, rows)
	list := costtest.Random(rand.New(rand.NewPCG(1, 1)), 10_000)
	for b.Loop() {
		began := time.Now()
		if e := book.Estimate(list, nil); len(e.Items) != len(list) {
			b.Fatal("resources are missing")
		}
		if took := time.Since(began); took > maxEstimate {
			b.Errorf("%s for 10,000 resources", took)
		}
	}
}

// BenchmarkPriceBook reads the prices of one cloud, which every plan with
// resources there does once.
func BenchmarkPriceBook(b *testing.B) {
	for b.Loop() {
		if _, diags := cost.Defaults("aws"); diags.HasErrors() {
			b.Fatal(diags.Err())
		}
	}
}
