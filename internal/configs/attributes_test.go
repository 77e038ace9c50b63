package configs

import (
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
)

func TestAttributeRange(t *testing.T) {
	c, problems := load(t, `
-- main.tf --
resource "thing" "a" {
  size = 1
  tags = {
    owner   = "x"
    "a team" = {
      lead = "y"
    }
  }
  list = [
    { port = 1 },
    {
      port = 2
    },
  ]
  computed = merge({ a = 1 }, {})
  rule {
    port = 1
  }
  rule {
    from {
      port = 2
    }
  }
  dynamic "made" {
    for_each = [1]
    content {
      port = 3
    }
  }
  lifecycle {
    prevent_destroy = true
  }
}
-- other.tf.json --
{
  "resource": {
    "thing": {
      "b": {
        "size": 1,
        "tags": {
          "owner": "x"
        },
        "rule": [
          {"port": 1},
          {
            "port": 2
          }
        ]
      }
    }
  }
}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	for _, want := range []struct {
		name, path string
		line       int // 0: it is not written
	}{
		{"a", "size", 2}, {"a", "size.more", 2},
		{"a", "tags", 3}, {"a", "tags.owner", 4}, {"a", `tags["owner"]`, 4}, {"a", `tags["a team"].lead`, 6}, {"a", "tags.absent", 3},
		{"a", "list[0].port", 10}, {"a", "list[1].port", 12}, {"a", "list.1.port", 12}, {"a", "list[7]", 9}, {"a", "computed.a", 15},
		{"a", "rule[0].port", 17}, {"a", "rule", 16}, {"a", "rule.1.from.0.port", 21}, {"a", "rule[1].from.port", 21}, {"a", "rule[2].port", 0},
		{"a", "made[0].port", 24}, {"a", "id", 0}, {"a", "", 0}, {"a", "lifecycle", 0}, {"a", "not a name", 0},
		{"b", "size", 5}, {"b", "tags.owner", 7}, {"b", "rule[1].port", 12}, {"b", "id", 0},
	} {
		at, ok := c.Resource(addrs.ConfigResource{Resource: addrs.Resource{Mode: addrs.Managed, Type: "thing", Name: want.name}}).AttributeRange(want.path)
		if ok != (want.line > 0) || ok && at.Start.Line != want.line {
			t.Errorf("%s of %s is at line %d (%t), want %d", want.path, want.name, at.Start.Line, ok, want.line)
		}
	}
}
