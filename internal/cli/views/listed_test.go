package views

import "testing"

func TestListed(t *testing.T) {
	long := "module.network.aws_route_table_association.private_of_the_first_zone[0]"
	for _, test := range []struct {
		head   string
		indent int
		sep    string
		parts  []string
		want   string
	}{
		{"a   b", 4, "  ", []string{"c", "", "d"}, "a   b  c  d"},
		{"a", 4, "  ", nil, "a"},
		{"shop", 6, "  ", []string{"2026-11-29 13:10:17", long, "x"}, "shop  2026-11-29 13:10:17\n      " + long + "  x"},
		{"shop  ", 2, ", ", []string{"set by user:root at 2026-11-29 13:10:17", "next rotation 2026-12-29 13:10:17"},
			"shop  , set by user:root at 2026-11-29 13:10:17,\n  next rotation 2026-12-29 13:10:17"},
		{"", 2, ", ", []string{"ä", "ö"}, "ä, ö"},
	} {
		if got := Listed(test.head, test.indent, test.sep, test.parts...); got != test.want {
			t.Errorf("%q %q:\n%s\nwant\n%s", test.head, test.parts, got, test.want)
		}
	}
}
