package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
)

// folder is where the objects are: a file of JSON each, and a log of what was
// done.
type folder string

func (f folder) path(kind, name string) string {
	return filepath.Join(string(f), kind+"."+name+".json")
}

// log appends a line to the log of operations.
func (f folder) log(words ...any) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(string(f), "operations.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, words...)
	return errors.Join(err, file.Close())
}

// write makes or changes an object.
func (f folder) write(operation, kind, name string, object map[string]string) error {
	data, err := json.Marshal(object)
	if err == nil {
		err = os.MkdirAll(string(f), 0o700)
	}
	if err == nil {
		err = os.WriteFile(f.path(kind, name), data, 0o600)
	}
	return errors.Join(err, f.log(operation, kind, name))
}

// read returns nil where there is no such object.
func (f folder) read(kind, name string) (map[string]string, error) {
	data, err := os.ReadFile(f.path(kind, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	object := map[string]string{}
	if err == nil {
		err = json.Unmarshal(data, &object)
	}
	return object, err
}

func (f folder) remove(kind, name string) error {
	err := os.Remove(f.path(kind, name))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.log("delete", kind, name))
}

// base takes the folder from the provider.
type base struct{ folder }

// Configure implements resource.ResourceWithConfigure.
func (b *base) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if f, ok := req.ProviderData.(folder); ok {
		b.folder = f
	}
}

func failed(diags *diag.Diagnostics, what string, err error) {
	if err != nil {
		diags.AddError("Cannot "+what, err.Error())
	}
}

// nameAttribute is what every object here is called.
func nameAttribute() schema.Attribute {
	return schema.StringAttribute{Required: true, Description: "Name.", PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}}
}
