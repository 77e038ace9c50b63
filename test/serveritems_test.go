package test

import (
	"strings"
	"testing"
	"time"
)

// TestServerItems: the items of a step are told one by one, with how often they were
// tried and why they failed, in pages and by status.
func TestServerItems(t *testing.T) {
	p := newServed(t)
	p.write("items.tutti.hcl", `
workflow "each" {
  step "do" {
    for_each           = ["a", "b", "bad", "c"]
    tolerated_failures = 1
    retry {
      attempts = 2
      backoff  = "10ms"
    }
    exec { command = ["sh", "-c", "echo $0; test $0 != bad", each.value] }
  }
  step "plain" {
    exec { command = ["true"] }
  }
}
`)
	s := p.server()
	var run servedRun
	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "each"})
	if status, _ := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatal(status)
	}
	type list struct {
		Items []struct {
			Number, Attempts int
			Name, Status     string
			Error            *struct{ Name string }
			Begun, Ended     time.Time
		}
		Total  int
		Counts map[string]int
		Next   string
	}
	var all list
	s.get(&all, 200, "GET", "/runs/"+run.ID+"/steps/do/items", nil)
	if all.Total != 4 || len(all.Items) != 4 || all.Counts["succeeded"] != 3 || all.Counts["failed"] != 1 || all.Next != "" {
		t.Fatalf("the items are %+v", all)
	}
	for i, it := range all.Items {
		if it.Number != i || it.Begun.IsZero() || it.Ended.Before(it.Begun) {
			t.Errorf("item %d is %+v", i, it)
		}
	}
	if bad := all.Items[2]; bad.Name != "do[2]" || bad.Status != "failed" || bad.Attempts != 2 || bad.Error == nil || bad.Error.Name != "Tutti.CommandFailed" {
		t.Errorf("the item that fails is %+v", bad)
	}
	if good := all.Items[3]; good.Status != "succeeded" || good.Attempts != 1 || good.Error != nil {
		t.Errorf("the item that succeeds is %+v", good)
	}
	// Page by page, and by status.
	var names []string
	for cursor := "0"; cursor != ""; {
		var part list
		s.get(&part, 200, "GET", "/runs/"+run.ID+"/steps/do/items?status=succeeded&limit=2&cursor="+cursor, nil)
		for _, it := range part.Items {
			names = append(names, it.Name)
		}
		if cursor = part.Next; part.Total != 3 {
			t.Errorf("%d items succeeded", part.Total)
		}
	}
	if got := strings.Join(names, " "); got != "do[0] do[1] do[3]" {
		t.Errorf("what succeeded is %s", got)
	}
	var none list
	if s.get(&none, 200, "GET", "/runs/"+run.ID+"/steps/plain/items", nil); none.Total != 0 {
		t.Errorf("a step without for_each has items: %+v", none)
	}
	s.get(nil, 404, "GET", "/runs/"+run.ID+"/steps/other/items", nil)
	s.get(nil, 422, "GET", "/runs/"+run.ID+"/steps/do/items?cursor=x", nil)
}
