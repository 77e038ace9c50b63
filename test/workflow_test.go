package test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// orders ships items side by side, waits, and sends one mail that must never be
// sent twice.
const orders = `{"StartAt": "Ship", "States": {
  "Ship": {"Type": "Map", "ItemsPath": "$.items", "ResultPath": "$.shipped", "Next": "Rest", "ItemProcessor": {"StartAt": "One", "States": {
    "One": {"Type": "Task", "Resource": "tutti:exec", "End": true, "ResultSelector": {"key.$": "$.stdout"}, "Parameters": {
      "idempotent": true, "command": ["sh", "-c", "sleep 0.03; mkdir -p shipped/$TUTTI_IDEMPOTENCY_KEY; printf $TUTTI_IDEMPOTENCY_KEY"]}}}}},
  "Rest": {"Type": "Wait", "Seconds": 1, "Next": "Mail"},
  "Mail": {"Type": "Task", "Resource": "tutti:exec", "ResultPath": null, "Next": "End", "Parameters": {"command": ["sh", "-c", "echo sent >> mails; sleep 0.05"]},
    "Catch": [{"ErrorEquals": ["Tutti.OutcomeUnknown"], "ResultPath": "$.unknown", "Next": "End"}]},
  "End": {"Type": "Succeed"}}}`

// TestWorkflowsSurviveKills kills the process of a workflow again and again, at
// instants drawn from a seed.
func TestWorkflowsSurviveKills(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 3))
		p := newProject(t, "")
		p.env = append(p.env, "TF_CLI_CONFIG_FILE=/dev/null")
		p.write("orders.asl.json", orders)
		const items = 25
		p.write("in.json", `{"items": [`+strings.TrimSuffix(strings.Repeat("1,", items), ",")+`]}`)
		args := []string{"run", "-json", "orders", "-input", "in.json"}
		var out []byte
		kills, told := 0, true
		for ; ; kills++ {
			cmd := exec.Command(binary(t), args...)
			cmd.Dir, cmd.Env = p.dir, p.env
			if kills < 12 {
				timer := time.AfterFunc(time.Duration(20+random.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
				out, _ = cmd.Output()
				timer.Stop()
			} else {
				var err error
				if out, err = cmd.Output(); err != nil {
					t.Fatalf("seed %d: %s: %s", seed, err, out)
				}
			}
			if cmd.ProcessState.Success() {
				break
			}
			started, _ := p.run("runs")
			if strings.Contains(started, "interrupted") {
				args = []string{"resume", "-auto-approve", "-json"}
			}
			if strings.Contains(started, "succeeded") {
				told = false // it was killed after the end of the run, before it could tell
				break
			}
		}
		var result struct {
			Status string
			Output struct {
				Shipped []struct{ Key string }
				Unknown *struct{ Error string }
			}
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); told && err != nil {
			t.Fatalf("seed %d: %s: %.300s", seed, err, out)
		}
		if told && (result.Status != "SUCCEEDED" || len(result.Output.Shipped) != items) {
			t.Fatalf("seed %d: %+v", seed, result)
		}
		for _, s := range result.Output.Shipped {
			if _, err := os.Stat(filepath.Join(p.dir, "shipped", s.Key)); err != nil {
				t.Errorf("seed %d: %s", seed, err)
			}
		}
		if made, err := os.ReadDir(filepath.Join(p.dir, "shipped")); err != nil || len(made) != items {
			t.Errorf("seed %d: %d effects of %d tasks (%v)", seed, len(made), items, err)
		}
		mails, _ := os.ReadFile(filepath.Join(p.dir, "mails"))
		if sent := strings.Count(string(mails), "sent"); sent > 1 || told && sent == 0 && result.Output.Unknown == nil {
			t.Errorf("seed %d: %d mails were sent, unknown: %+v", seed, sent, result.Output.Unknown)
		}
		t.Logf("seed %d: %d kills", seed, kills)
	}
}
