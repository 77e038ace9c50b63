package views

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// SchemaSource finds the schemas of a provider; nil where it is not available.
type SchemaSource func(addrs.Provider) *providers.Schemas

// Plan prints what a plan would do.
func (t *Terminal) Plan(p *plans.Plan, schemas SchemaSource) {
	out := bufio.NewWriterSize(t.Out, 64<<10)
	defer func() { _ = out.Flush() }() // nobody is left to tell
	buffered := *t
	buffered.Out = out
	v := planView{t: &buffered, p: p, schemas: schemas}
	v.shown = v.changes()
	v.print()
}

type planView struct {
	t       *Terminal
	p       *plans.Plan
	schemas SchemaSource
	shown   []*plans.Change // the changes worth showing
}

func (v *planView) print() {
	v.drift()
	switch {
	case v.p.Mode == plans.RefreshOnly:
		v.outputs()
		v.refreshSummary()
	case len(v.shown) == 0 && !v.outputsChange():
		v.nothing()
	default:
		if len(v.shown) > 0 {
			v.legend()
			sentence := "Tutti will perform the following actions:"
			if v.p.Errored {
				sentence = "Tutti planned the following actions, but then encountered a problem:"
			}
			v.t.Paragraph(v.t.paint(bold, sentence))
			for _, c := range v.shown {
				v.change(c, false)
			}
			v.counts()
		}
		v.outputs()
	}
	v.notes()
}

// changes are the changes worth showing.
func (v *planView) changes() []*plans.Change {
	var out []*plans.Change
	for _, c := range jsonplan.SortedChanges(v.p.Changes) {
		if c.Action != plans.NoOp || c.Moved() || c.Importing != nil {
			out = append(out, c)
		}
	}
	return out
}

// notes prints what people should know besides.
func (v *planView) notes() {
	var forgotten []string
	for _, c := range v.shown {
		if c.Action == plans.Forget || c.Action == plans.ForgetThenCreate {
			forgotten = append(forgotten, " - "+c.Object.String())
		}
	}
	if len(forgotten) > 0 {
		v.t.Paragraph(v.t.paint(yellow, "Warning:") + " " + v.t.paint(bold, "Some objects will no longer be managed by Tutti"))
		v.t.Paragraph("With this plan applied, Tutti no longer knows the following objects, but they are not deleted. To manage them again they must be imported.")
		v.t.printf("%s\n", strings.Join(forgotten, "\n"))
	}
}

func (v *planView) nothing() {
	t := v.t
	switch {
	case v.p.Errored:
		t.Paragraph(t.paint(red, "Planning failed.") + " Tutti encountered an error while generating this plan.")
	case v.p.Mode == plans.Destroy:
		t.Paragraph(t.paint(green, "No changes.") + " No objects need to be destroyed.")
		t.Paragraph("Either nothing has been created yet, or what there was has already been deleted outside of Tutti.")
	case len(v.relevantDrift()) > 0:
		t.Paragraph(t.paint(green, "No changes.") + " Your infrastructure matches the configuration.")
		t.Paragraph("Your configuration already agrees with the changes detected above. To record them, run: tutti apply -refresh-only")
	default:
		t.Paragraph(t.paint(green, "No changes.") + " Your infrastructure matches the configuration.")
		t.Paragraph("Tutti has compared your real infrastructure against your configuration and found no differences, so no changes are needed.")
	}
}

// legend explains the marks that occur.
func (v *planView) legend() {
	has := map[plans.Action]bool{}
	for _, c := range v.shown {
		has[c.Action] = true
	}
	v.t.printf("\n%s\n", wrap("Tutti used the selected providers to generate the following execution plan. Resource actions are indicated with the following symbols:", v.t.Width))
	d := differ{t: v.t}
	for _, l := range []struct {
		action plans.Action
		mark   string
		text   string
	}{
		{plans.Create, "  " + d.symbol(symbolCreate), "create"},
		{plans.Update, "  " + d.symbol(symbolUpdate), "update in-place"},
		{plans.Delete, "  " + d.symbol(symbolDelete), "destroy"},
		{plans.DeleteThenCreate, v.mark(plans.DeleteThenCreate), "destroy and then create replacement"},
		{plans.CreateThenDelete, v.mark(plans.CreateThenDelete), "create replacement and then destroy"},
		{plans.ForgetThenCreate, v.mark(plans.ForgetThenCreate), "create replacement and then forget"},
		{plans.Read, v.mark(plans.Read), "read (data resources)"},
		{plans.Forget, v.mark(plans.Forget), "forget, without destroying"},
	} {
		if has[l.action] {
			v.t.printf("%s%s\n", l.mark, l.text)
		}
	}
}

// mark is what stands in front of a resource, four columns wide.
func (v *planView) mark(a plans.Action) string {
	t := v.t
	switch a {
	case plans.Create:
		return "  " + t.paint(green, "+") + " "
	case plans.Update:
		return "  " + t.paint(yellow, "~") + " "
	case plans.Delete:
		return "  " + t.paint(red, "-") + " "
	case plans.DeleteThenCreate:
		return t.paint(red, "-") + "/" + t.paint(green, "+") + " "
	case plans.CreateThenDelete:
		return t.paint(green, "+") + "/" + t.paint(red, "-") + " "
	case plans.ForgetThenCreate:
		return t.paint(green, "+") + "/" + t.paint(cyan, ".") + " "
	case plans.Read:
		return " " + t.paint(cyan, "<=") + " "
	case plans.Forget:
		return "  " + t.paint(cyan, ".") + " "
	}
	return "    "
}

// change prints one resource.
func (v *planView) change(c *plans.Change, drift bool) {
	t := v.t
	v.header(c, drift)
	block := v.block(c)
	var b strings.Builder
	d := differ{t: t, b: &b, forces: c.RequiredReplace}
	b.WriteString(v.mark(c.Action))
	word := "resource"
	if c.Object.Instance.Resource.Mode == addrs.Data {
		word = "data"
	}
	fmt.Fprintf(&b, "%s %q %q {\n", word, c.Object.Instance.Resource.Type, c.Object.Instance.Resource.Name)
	before, after := c.Before, c.After
	switch c.Action {
	case plans.Create, plans.Read:
		before = cty.NilVal
	case plans.Delete:
		after = cty.NilVal
	case plans.Forget:
		after = before
	case plans.NoOp:
		d.all = c.Importing != nil
	}
	d.block(6, block, before, after, cty.Path{}, true)
	b.WriteString("    }")
	b.WriteByte('\n')
	fmt.Fprint(t.Out, b.String())
}

// block finds the schema of a change; one made from the values where the
// provider is not available.
func (v *planView) block(c *plans.Change) *providers.Block {
	if s := v.schemas(c.Provider.Provider); s != nil {
		if b := jsonplan.SchemaFor(s, c.Object.Instance.Resource).Block; b != nil {
			return b
		}
	}
	return blockOf(c.Type)
}

// blockOf makes a schema in which every attribute of a type is a plain one.
func blockOf(ty cty.Type) *providers.Block {
	b := &providers.Block{Attributes: map[string]*providers.Attribute{}}
	if ty.IsObjectType() {
		for name, aty := range ty.AttributeTypes() {
			b.Attributes[name] = &providers.Attribute{Type: aty, Optional: true}
		}
	}
	return b
}

// header prints the sentence above a resource.
func (v *planView) header(c *plans.Change, drift bool) {
	t := v.t
	name := t.paint(bold, c.Object.String())
	note := func(text string) { t.printf("  # %s\n", text) }
	t.printf("\n")
	switch {
	case drift && c.Action == plans.Delete:
		note(name + " has been deleted")
	case drift:
		note(name + " has changed")
	case c.Action == plans.NoOp && c.Moved() && c.Importing == nil:
		note(t.paint(bold, c.PrevAddress.String()) + " has moved to " + name)
	default:
		note(name + " " + headline(c))
	}
	if c.Moved() && (c.Action != plans.NoOp || c.Importing != nil) {
		note("(moved from " + c.PrevAddress.String() + ")")
	}
	if drift {
		return
	}
	if reason := reasonText(c); reason != "" {
		note("(" + reason + ")")
	}
	if c.Importing != nil && c.Action != plans.NoOp {
		note("(" + importedFrom(c.Importing) + ")")
	}
	if c.Importing != nil && (c.Action.IsReplace() || c.Action == plans.Delete) {
		note(t.paint(yellow, "Warning: this will destroy the imported resource"))
	}
	if c.Deferred != "" {
		note("(deferred: " + oneLine(c.Deferred) + ")")
	}
}

// importedFrom says where an imported object comes from.
func importedFrom(i *plans.Importing) string {
	switch {
	case i.Unknown:
		return "will be imported first"
	case i.ID == "" && !isNothing(i.Identity) && i.Identity.IsWhollyKnown():
		identity := bare(i.Identity)
		var parts []string
		for it := identity.ElementIterator(); it.Next(); {
			if key, e := it.Element(); !isNothing(e) {
				parts = append(parts, key.AsString()+" = "+ConsoleValue(e))
			}
		}
		return "imported from the identity " + strings.Join(parts, ", ")
	}
	return "imported from " + quoted(i.ID)
}

func headline(c *plans.Change) string {
	switch c.Action {
	case plans.Create:
		return "will be created"
	case plans.Read:
		return "will be read during apply"
	case plans.Update:
		return "will be updated in-place"
	case plans.DeleteThenCreate, plans.CreateThenDelete:
		switch c.Reason {
		case plans.ReasonReplaceBecauseTainted:
			return "is tainted, so must be replaced"
		case plans.ReasonReplaceByRequest:
			return "will be replaced, as requested"
		case plans.ReasonReplaceByTriggers:
			return "will be replaced due to changes in replace_triggered_by"
		}
		return "must be replaced"
	case plans.ForgetThenCreate:
		return "must be replaced, but the existing object will not be destroyed"
	case plans.Delete:
		return "will be destroyed"
	case plans.Forget:
		return "will no longer be managed by Tutti, but will not be destroyed"
	}
	return "will be imported"
}

// reasonText says why, in words.
func reasonText(c *plans.Change) string {
	addr := c.Object.Instance
	switch c.Reason {
	case plans.ReasonDeleteNoResourceConfig:
		if c.Action == plans.Forget {
			return "because its removed block says not to destroy it"
		}
		return "because " + addr.AbsResource().String() + " is not in configuration"
	case plans.ReasonDeleteNoModule:
		return "because " + string(addr.Module) + " is not in configuration"
	case plans.ReasonDeleteWrongRepetition:
		switch addr.Key.Kind {
		case addrs.KeyNone:
			return "because resource uses count or for_each"
		case addrs.KeyInt:
			return "because resource does not use count"
		}
		return "because resource does not use for_each"
	case plans.ReasonDeleteCountIndex:
		return "because index " + addr.Key.String() + " is out of range for count"
	case plans.ReasonDeleteEachKey:
		return "because key " + addr.Key.String() + " is not in for_each map"
	case plans.ReasonDeleteNoMoveTarget:
		return "because " + addr.String() + " was moved to a place that is not in configuration"
	case plans.ReasonDeleteRollback:
		return "because it was not there before"
	case plans.ReasonReadConfigUnknown:
		return "config refers to values not yet known"
	case plans.ReasonReadDependencyPending:
		return "depends on a resource or a module with changes pending"
	case plans.ReasonReadCheckNested:
		return "config will be reloaded to verify a check block"
	}
	if c.Object.Deposed != "" {
		return "left over from a partially-failed replacement of this instance"
	}
	return ""
}

// counts prints the totals.
func (v *planView) counts() {
	n := v.p.Count()
	text := fmt.Sprintf("%d to add, %d to change, %d to destroy.", n.Add, n.Change, n.Destroy)
	if n.Import > 0 {
		text = fmt.Sprintf("%d to import, ", n.Import) + text
	}
	switch {
	case n.Forget > 0 && n.Move > 0:
		text += fmt.Sprintf(" %d to forget, %d to move.", n.Forget, n.Move)
	case n.Forget > 0:
		text += fmt.Sprintf(" %d to forget.", n.Forget)
	case n.Move > 0:
		text += fmt.Sprintf(" %d to move.", n.Move)
	}
	v.t.printf("\n%s %s\n", v.t.paint(bold, "Plan:"), text)
}

func (v *planView) outputsChange() bool {
	for _, o := range v.p.Outputs {
		if o.Action != plans.NoOp {
			return true
		}
	}
	return false
}

func (v *planView) outputs() {
	if !v.outputsChange() {
		return
	}
	var b strings.Builder
	d := differ{t: v.t, b: &b, nulls: true}
	width := 0
	for _, o := range v.p.Outputs {
		if o.Action != plans.NoOp {
			width = max(width, columns(o.Name))
		}
	}
	for _, o := range v.p.Outputs {
		if o.Action == plans.NoOp {
			continue
		}
		before, after := o.Before, o.After
		if o.Action == plans.Create {
			before = cty.NilVal
		}
		if o.Action == plans.Delete {
			after = cty.NilVal
		}
		if o.Sensitive {
			before, after = hide(before), hide(after)
		}
		d.attribute(2, o.Name, width, before, after, nil)
	}
	v.t.printf("\nChanges to Outputs:\n%s", b.String())
	switch {
	case v.p.Errored && len(v.shown) == 0:
		v.nothing()
	case len(v.shown) == 0 && v.p.Mode != plans.RefreshOnly:
		v.t.Paragraph("You can apply this plan to save these new output values to the state, without changing any real infrastructure.")
	}
}

// relevantDrift is what changed outside and bears on what is planned. Of objects
// that changed, only the attributes that do are shown as changed.
func (v *planView) relevantDrift() []*plans.Change {
	if v.p.Mode == plans.RefreshOnly {
		return v.p.Drift
	}
	relevant := map[addrs.ResourceInstance][]cty.Path{}
	for _, r := range v.p.Relevant {
		relevant[r.Resource] = append(relevant[r.Resource], r.Attribute)
	}
	var out []*plans.Change
	for _, c := range v.p.Drift {
		paths, found := relevant[c.Object.Instance]
		if !found {
			whole := c.Object.Instance // a reference to all instances counts for each
			whole.Key = addrs.InstanceKey{}
			if paths, found = relevant[whole]; !found {
				continue
			}
		}
		if c.Action == plans.Delete {
			out = append(out, c)
		} else if after, changed := onlyRelevant(c, paths); changed {
			narrowed := *c
			narrowed.After = after
			out = append(out, &narrowed)
		}
	}
	return out
}

// onlyRelevant undoes changes of attributes that no path begins with, and
// reports whether changes remain.
func onlyRelevant(c *plans.Change, paths []cty.Path) (cty.Value, bool) {
	names := map[string]bool{}
	for _, path := range paths {
		if len(path) == 0 {
			return c.After, true
		}
		if step, ok := path[0].(cty.GetAttrStep); ok {
			names[step.Name] = true
		}
	}
	before, after := bare(c.Before), bare(c.After)
	if isNothing(before) || isNothing(after) || !before.Type().IsObjectType() || !after.Type().IsObjectType() {
		return c.After, true
	}
	members := after.AsValueMap()
	changed := false
	for name, e := range members {
		old := member(before, name)
		switch {
		case old == cty.NilVal:
		case names[name]:
			changed = changed || !old.RawEquals(e)
		default:
			members[name] = old
		}
	}
	return cty.ObjectVal(members), changed
}

func (v *planView) drift() {
	list := v.relevantDrift()
	if len(list) == 0 {
		return
	}
	v.t.printf("\n%s Objects have changed outside of Tutti\n", v.t.paint(cyan, "Note:"))
	sentence := "Tutti detected the following changes made outside of Tutti since the last \"tutti apply\""
	if v.p.Mode != plans.RefreshOnly {
		sentence += " which may have affected this plan"
	}
	v.t.Paragraph(sentence + ":")
	for _, c := range jsonplan.SortedChanges(list) {
		v.change(c, true)
	}
	if v.p.Mode != plans.RefreshOnly && (len(v.shown) > 0 || v.outputsChange()) {
		v.t.Paragraph("Unless you have made equivalent changes to your configuration, or ignored the relevant attributes using ignore_changes, the following plan may include actions to undo or respond to these changes.")
		v.t.Rule()
	}
}

func (v *planView) refreshSummary() {
	if len(v.p.Drift) == 0 && !v.outputsChange() {
		v.t.Paragraph(v.t.paint(green, "No changes.") + " Your infrastructure still matches the configuration.")
		v.t.Paragraph("Tutti has checked that the real remote objects still match the result of your most recent changes, and found no differences.")
		return
	}
	v.t.Paragraph("This is a refresh-only plan, so Tutti will not take any actions to undo these. If you were expecting these changes then you can apply this plan to record the updated values in the state without changing any remote objects.")
}
