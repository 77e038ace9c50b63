package main

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
)

// legacyProvider is the half that is built with the old SDK, whose types know no
// null: it answers with "", 0 and empty lists where nothing was said.
func legacyProvider() *schema.Provider {
	return &schema.Provider{
		Schema: map[string]*schema.Schema{
			"folder": {Type: schema.TypeString, Optional: true, Description: folderDescription},
		},
		ConfigureContextFunc: func(_ context.Context, d *schema.ResourceData) (any, diag.Diagnostics) {
			if text, _ := d.Get("folder").(string); text != "" {
				return folder(text), nil
			}
			return folder("corner.d"), nil
		},
		ResourcesMap: map[string]*schema.Resource{"corner_legacy": legacyResource()},
	}
}

func legacyResource() *schema.Resource {
	return &schema.Resource{
		Schema: map[string]*schema.Schema{
			"name":     {Type: schema.TypeString, Required: true, ForceNew: true},
			"note":     {Type: schema.TypeString, Optional: true},
			"size":     {Type: schema.TypeInt, Optional: true},
			"chosen":   {Type: schema.TypeString, Optional: true, Computed: true},
			"tags":     {Type: schema.TypeMap, Optional: true, Elem: &schema.Schema{Type: schema.TypeString}},
			"password": {Type: schema.TypeString, Optional: true, Sensitive: true},
			"hangs":    {Type: schema.TypeBool, Optional: true},
			"rule": {Type: schema.TypeSet, Optional: true, Elem: &schema.Resource{Schema: map[string]*schema.Schema{
				"port":    {Type: schema.TypeInt, Required: true},
				"comment": {Type: schema.TypeString, Optional: true},
				"hosts":   {Type: schema.TypeList, Optional: true, Elem: &schema.Schema{Type: schema.TypeString}},
			}}},
			"step": {Type: schema.TypeList, Optional: true, MaxItems: 3, Elem: &schema.Resource{Schema: map[string]*schema.Schema{
				"run":    {Type: schema.TypeString, Required: true},
				"number": {Type: schema.TypeInt, Computed: true},
			}}},
		},
		Timeouts: &schema.ResourceTimeout{Create: schema.DefaultTimeout(time.Minute), Delete: schema.DefaultTimeout(time.Minute)},
		CreateContext: func(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
			d.SetId(d.Get("name").(string)) //nolint:forcetypeassert // the schema says so
			if d.Get("hangs") == true {
				<-ctx.Done() // the SDK ends it when the timeout is over
				return diag.FromErr(ctx.Err())
			}
			return legacyPut(d, meta, "create "+d.Timeout(schema.TimeoutCreate).String())
		},
		UpdateContext: func(_ context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
			return legacyPut(d, meta, "update")
		},
		ReadContext: func(_ context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
			object, err := meta.(folder).read("legacy", d.Id()) //nolint:forcetypeassert // Configure made it
			if err == nil && object == nil {
				d.SetId("")
				return nil
			}
			if err == nil {
				err = d.Set("note", object["note"])
			}
			return diag.FromErr(err)
		},
		DeleteContext: func(_ context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
			return diag.FromErr(meta.(folder).remove("legacy", d.Id())) //nolint:forcetypeassert // Configure made it
		},
		Importer: &schema.ResourceImporter{StateContext: schema.ImportStatePassthroughContext},
	}
}

// legacyPut writes the object, and fills in what is computed.
func legacyPut(d *schema.ResourceData, meta any, operation string) diag.Diagnostics {
	if d.Get("chosen") == "" {
		if err := d.Set("chosen", "by the provider"); err != nil {
			return diag.FromErr(err)
		}
	}
	steps, _ := d.Get("step").([]any)
	for i := range steps {
		if step, ok := steps[i].(map[string]any); ok {
			step["number"] = i + 1
		}
	}
	if err := d.Set("step", steps); err != nil {
		return diag.FromErr(err)
	}
	return diag.FromErr(meta.(folder).write(operation, "legacy", d.Id(), map[string]string{"note": d.Get("note").(string)})) //nolint:forcetypeassert // the schema says so
}
