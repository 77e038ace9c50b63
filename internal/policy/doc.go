// Package policy says whether a plan may be carried out: documents go in, a
// [Decision] comes out. Policies are Rego, evaluated with OPA's library on the
// plan JSON that Terraform's tools read, so that policies written for conftest
// or for OPA run as they are.
//
//	files ─Prepare─► Policy ┐
//	plan JSON ─Parse─► Document ┴─Judge─► Decision
//
// What a plan does not know yet is neither there nor not there. A rule that asks
// for it is not believed: its outcome is [Unknown], until the document has the
// value. docs/design/0005-policy-and-unknowns.md says how that is found out and
// why it errs on neither side. The package does no I/O but for [ReadDir].
package policy
