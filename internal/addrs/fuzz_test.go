package addrs

import "testing"

// FuzzParse reads anything as addresses: what can be read is written so that it is
// read as the same again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"a_b.c", "module.m[\"x\"].data.a_b.c[0]", "module.m", "ephemeral.a_b.c[\"ü\\\"\"]", "a_b.c[-1]", "registry.terraform.io/hashicorp/x",
		"module.m[\"${x}\"].a.b", "provider[\"a/b/c\"].alias", "module.a.module.b[3].provider[\"registry.opentofu.org/a/b\"]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := ParseResourceInstance(text); err == nil {
			if b, err := ParseResourceInstance(a.String()); err != nil || a != b {
				t.Errorf("%q is read as %v, and that as %v (%v)", text, a, b, err)
			}
		}
		if a, err := ParseModuleInstance(text); err == nil {
			if b, err := ParseModuleInstance(a.String()); err != nil || a != b {
				t.Errorf("%q is read as %v, and that as %v (%v)", text, a, b, err)
			}
		}
		if a, err := ParseProvider(text); err == nil {
			if b, err := ParseProvider(a.String()); err != nil || a != b {
				t.Errorf("%q is read as %v, and that as %v (%v)", text, a, b, err)
			}
		}
		if a, err := ParseProviderConfig(text); err == nil {
			if b, err := ParseProviderConfig(a.String()); err != nil || a != b {
				t.Errorf("%q is read as %v, and that as %v (%v)", text, a, b, err)
			}
		}
		_, _ = ParseTarget(text)
		_, _ = ParseConfigResource(text)
	})
}
