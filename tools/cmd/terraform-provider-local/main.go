// Command terraform-provider-local writes and reads files, with the schema that
// the public provider of that name had in its version 2.2: recorded cases and
// old state files need it. The current version is built from its own source.
package main

import (
	"context"
	"crypto/sha1" //nolint:gosec // ids of this provider are SHA-1 sums
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/hashicorp/terraform-plugin-sdk/v2/plugin"
)

func main() {
	plugin.Serve(&plugin.ServeOpts{ProviderFunc: provider})
}

func provider() *schema.Provider {
	return &schema.Provider{
		ResourcesMap:   map[string]*schema.Resource{"local_file": file()},
		DataSourcesMap: map[string]*schema.Resource{"local_file": fileData()},
	}
}

func file() *schema.Resource {
	text := func(conflicts ...string) *schema.Schema {
		return &schema.Schema{Type: schema.TypeString, Optional: true, ForceNew: true, ConflictsWith: conflicts}
	}
	secret := text("content", "content_base64", "source")
	secret.Sensitive = true
	mode := func() *schema.Schema {
		return &schema.Schema{Type: schema.TypeString, Optional: true, ForceNew: true, Default: "0777"}
	}
	return &schema.Resource{
		CreateContext: createFile, ReadContext: readFile, DeleteContext: deleteFile,
		Schema: map[string]*schema.Schema{
			"filename":             {Type: schema.TypeString, Required: true, ForceNew: true},
			"content":              text("sensitive_content", "content_base64", "source"),
			"sensitive_content":    secret,
			"content_base64":       text("sensitive_content", "content", "source"),
			"source":               text("sensitive_content", "content", "content_base64"),
			"file_permission":      mode(),
			"directory_permission": mode(),
		},
	}
}

// content is what the file shall hold.
func content(d *schema.ResourceData) ([]byte, error) {
	if text, ok := d.GetOk("sensitive_content"); ok {
		return []byte(text.(string)), nil //nolint:forcetypeassert // the schema says so
	}
	if text, ok := d.GetOk("content_base64"); ok {
		return base64.StdEncoding.DecodeString(text.(string)) //nolint:forcetypeassert // the schema says so
	}
	if name, ok := d.GetOk("source"); ok {
		return os.ReadFile(name.(string)) //nolint:forcetypeassert // the schema says so
	}
	return []byte(d.Get("content").(string)), nil //nolint:forcetypeassert // the schema says so
}

func sum(data []byte) string {
	h := sha1.Sum(data) //nolint:gosec // see above
	return hex.EncodeToString(h[:])
}

func createFile(_ context.Context, d *schema.ResourceData, _ any) diag.Diagnostics {
	data, err := content(d)
	if err != nil {
		return diag.FromErr(err)
	}
	modes := [2]os.FileMode{}
	for i, name := range []string{"file_permission", "directory_permission"} {
		mode, err := strconv.ParseUint(d.Get(name).(string), 8, 32) //nolint:forcetypeassert // the schema says so
		if err != nil {
			return diag.FromErr(fmt.Errorf("%s: %w", name, err))
		}
		modes[i] = os.FileMode(mode)
	}
	name := d.Get("filename").(string) //nolint:forcetypeassert // the schema says so
	if err := os.MkdirAll(filepath.Dir(name), modes[1]); err != nil {
		return diag.FromErr(err)
	}
	if err := os.WriteFile(name, data, modes[0]); err != nil {
		return diag.FromErr(err)
	}
	d.SetId(sum(data))
	return nil
}

func readFile(_ context.Context, d *schema.ResourceData, _ any) diag.Diagnostics {
	data, err := os.ReadFile(d.Get("filename").(string)) //nolint:forcetypeassert // the schema says so
	if errors.Is(err, os.ErrNotExist) || err == nil && sum(data) != d.Id() {
		d.SetId("") // gone, or another file by now
		return nil
	}
	return diag.FromErr(err)
}

func deleteFile(_ context.Context, d *schema.ResourceData, _ any) diag.Diagnostics {
	err := os.Remove(d.Get("filename").(string)) //nolint:forcetypeassert // the schema says so
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return diag.FromErr(err)
	}
	return nil
}

func fileData() *schema.Resource {
	return &schema.Resource{
		ReadContext: func(_ context.Context, d *schema.ResourceData, _ any) diag.Diagnostics {
			data, err := os.ReadFile(d.Get("filename").(string)) //nolint:forcetypeassert // the schema says so
			if err == nil {
				err = errors.Join(d.Set("content", string(data)), d.Set("content_base64", base64.StdEncoding.EncodeToString(data)))
				d.SetId(sum(data))
			}
			return diag.FromErr(err)
		},
		Schema: map[string]*schema.Schema{
			"filename":       {Type: schema.TypeString, Required: true},
			"content":        {Type: schema.TypeString, Computed: true},
			"content_base64": {Type: schema.TypeString, Computed: true},
		},
	}
}
