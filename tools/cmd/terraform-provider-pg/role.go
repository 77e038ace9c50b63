package main

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// roleResource is pg_role.
type roleResource struct{ base }

type roleModel struct {
	Name            types.String `tfsdk:"name"`
	Login           types.Bool   `tfsdk:"login"`
	Password        types.String `tfsdk:"password"`
	PasswordVersion types.Int64  `tfsdk:"password_version"`
	ConnectionLimit types.Int64  `tfsdk:"connection_limit"`
}

func (*roleResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName, resp.ResourceBehavior = "pg_role", behavior()
}

func (*roleResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = named().schema()
}

func (*roleResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "A role of the server.", Attributes: map[string]schema.Attribute{
		"name":             schema.StringAttribute{Required: true, Description: "Name; another one renames the role."},
		"login":            schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false), Description: "Whether one may log in as this role."},
		"password":         schema.StringAttribute{Optional: true, Sensitive: true, WriteOnly: true, Description: "Password; it is never stored. Set again when password_version changes."},
		"password_version": schema.Int64Attribute{Optional: true, Description: "A number to change when the password changes."},
		"connection_limit": schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(-1), Description: "How many connections the role may have at once; -1 is no limit."},
	}}
}

// options writes what CREATE ROLE and ALTER ROLE have in common.
func (m *roleModel) options() string {
	login := "NOLOGIN"
	if m.Login.ValueBool() {
		login = "LOGIN"
	}
	return login + " " + limit(m.ConnectionLimit)
}

// passwordOption writes the password as the server stores it, so that it never
// stands in a statement or in the server's log.
func passwordOption(password types.String) (string, error) {
	if password.IsNull() || password.ValueString() == "" {
		return " PASSWORD NULL", nil
	}
	text := password.ValueString()
	for _, c := range []byte(text) {
		if c >= 0x80 || c < 0x20 {
			// SASLprep may change these: leave that to the server.
			return " PASSWORD " + literal(text), nil
		}
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: the program would end
	stored, err := verifier(text, salt, 4096)
	return " PASSWORD " + literal(stored), err
}

// verifier is what PostgreSQL stores of a password (RFC 5802, RFC 7677).
func verifier(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("cannot derive a key: %w", err)
	}
	sum := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	storedKey := sha256.Sum256(sum(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(storedKey[:]), encode(sum(salted, "Server Key"))), nil
}

func (r *roleResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m roleModel
	var password types.String
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("password"), &password)...)
	if resp.Diagnostics.HasError() {
		return
	}
	option, err := passwordOption(password)
	if err == nil {
		err = r.exec(ctx, "", "CREATE ROLE "+name(m.Name.ValueString())+" "+m.options()+option)
	}
	if err != nil {
		failed(&resp.Diagnostics, "create the role "+m.Name.ValueString(), err)
		return
	}
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *roleResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m roleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var login bool
	var connections int64
	err := r.row(ctx, "", "SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = $1", []any{m.Name.ValueString()}, &login, &connections)
	if errors.Is(err, pgx.ErrNoRows) {
		named().gone(ctx, resp)
		return
	}
	if err != nil {
		failed(&resp.Diagnostics, "read the role "+m.Name.ValueString(), err)
		return
	}
	m.Login, m.ConnectionLimit = types.BoolValue(login), types.Int64Value(connections)
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *roleResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m roleModel
	var password types.String
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("password"), &password)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var statements []string
	if old.Name != m.Name {
		statements = append(statements, "ALTER ROLE "+name(old.Name.ValueString())+" RENAME TO "+name(m.Name.ValueString()))
	}
	change, err := "ALTER ROLE "+name(m.Name.ValueString())+" "+m.options(), error(nil)
	if !old.PasswordVersion.Equal(m.PasswordVersion) {
		var option string
		option, err = passwordOption(password)
		change += option
	}
	if err == nil {
		err = r.exec(ctx, "", append(statements, change)...)
	}
	if err != nil {
		failed(&resp.Diagnostics, "change the role "+m.Name.ValueString(), err)
		return
	}
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *roleResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m roleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		r.drop(ctx, &resp.Diagnostics, "the role "+m.Name.ValueString(), "", "DROP ROLE IF EXISTS "+name(m.Name.ValueString()))
	}
}

// ImportState takes the name.
func (*roleResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if !named().imported(ctx, req, resp) {
		resource.ImportStatePassthroughID(ctx, path.Root("name"), req, resp)
	}
}
