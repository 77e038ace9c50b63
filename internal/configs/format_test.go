package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The results are those of terraform fmt 1.11.
func TestFormat(t *testing.T) {
	for name, test := range map[string]struct{ src, want string }{
		"spacing and alignment": {
			"a=1\nlong_name  =  2 // b\nx {\ny = [1,\n2]\n}\n",
			"a         = 1\nlong_name = 2 // b\nx {\n  y = [1,\n  2]\n}\n",
		},
		"an interpolation alone": {
			"a = \"${b}\"\nb = \"${b}${c}\"\nc = \"x${b}\"\nd = \"${foo(\"${bar}\")}\"\ne = \"${\"${a}\"}\" # why\n",
			"a = b\nb = \"${b}${c}\"\nc = \"x${b}\"\nd = foo(\"${bar}\")\ne = \"${a}\" # why\n",
		},
		"only where it is the whole value": {
			"a = [\"${b}\"]\nb = \"${a}\" == \"b\"\nc = { \"${a}\" = \"${b}\" }\nd = \"$${a}\"\n",
			"a = [\"${b}\"]\nb = \"${a}\" == \"b\"\nc = { \"${a}\" = \"${b}\" }\nd = \"$${a}\"\n",
		},
		"over several lines": {
			"a = \"${\n  b\n}\"\nc = \"${a ?\n b : c}\"\n",
			"a = b\nc = (a ?\nb : c)\n",
		},
		"types of old": {
			"variable \"a\" { type = \"string\" }\nvariable \"b\" {\n  type = \"list\"\n}\nvariable \"c\" {\n  type = map\n}\nvariable \"d\" {\n  type = \"number\"\n}\nresource \"a\" \"b\" {\n  type = \"string\"\n}\n",
			"variable \"a\" { type = string }\nvariable \"b\" {\n  type = list(string)\n}\nvariable \"c\" {\n  type = map(any)\n}\nvariable \"d\" {\n  type = \"number\"\n}\nresource \"a\" \"b\" {\n  type = \"string\"\n}\n",
		},
		"labels": {
			"resource aws_instance   x {\n}\n",
			"resource \"aws_instance\" \"x\" {\n}\n",
		},
		"heredocs and nested blocks": {
			"a {\nb {\nc=<<-EOT\n      x\n        ${ y }\n    EOT\n}\n}\n",
			"a {\n  b {\n    c = <<-EOT\n      x\n        ${y}\n    EOT\n  }\n}\n",
		},
		"an empty file":         {"", ""},
		"no newline at the end": {"a=1", "a = 1"},
	} {
		got := Format([]byte(test.src))
		if string(got) != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func TestFormattingTwiceChangesNothing(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", "equivalence", "tests", "*", "*.tf"))
	if err != nil || len(names) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		once := Format(src)
		if twice := Format(once); !bytes.Equal(once, twice) {
			t.Errorf("%s changes again", name)
		}
	}
}
