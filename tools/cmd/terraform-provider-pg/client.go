package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// client opens connections. Every operation has its own: a kept one would be in
// the way when its database is dropped or renamed.
type client struct {
	config *pgx.ConnConfig
}

// newClient reads the settings; it does not connect. Errors tell what is wrong
// without the password.
func newClient(s settings) (*client, error) {
	var words []string
	add := func(key, value string) {
		if value != "" {
			words = append(words, key+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)+"'")
		}
	}
	add("host", s.Host.ValueString())
	if !s.Port.IsNull() {
		add("port", strconv.FormatInt(s.Port.ValueInt64(), 10))
	}
	add("user", s.User.ValueString())
	add("dbname", cmp.Or(s.Database.ValueString(), os.Getenv("PGDATABASE"), "postgres"))
	add("sslmode", s.SSLMode.ValueString())
	config, err := pgx.ParseConfig(strings.Join(words, " "))
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings: %w", err)
	}
	if !s.Password.IsNull() {
		config.Password = s.Password.ValueString()
	}
	config.ConnectTimeout = cmp.Or(config.ConnectTimeout, 15*time.Second)
	config.RuntimeParams["application_name"] = "terraform-provider-pg"
	return &client{config: config}, nil
}

// in runs do with a connection to a database; the empty name is the provider's.
func (c *client) in(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	config := c.config.Copy()
	if database != "" {
		config.Database = database
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	err = do(conn)
	if closeErr := conn.Close(context.WithoutCancel(ctx)); err == nil {
		err = closeErr
	}
	return err
}

// exec runs statements in one transaction.
func (c *client) exec(ctx context.Context, database string, statements ...string) error {
	if len(statements) == 0 {
		return nil
	}
	return c.in(ctx, database, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, statement := range statements {
				if _, err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// alone runs statements one by one without a transaction, which CREATE DATABASE
// and its kind refuse to run in.
func (c *client) alone(ctx context.Context, statements ...string) error {
	return c.in(ctx, "", func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// row reads one row; pgx.ErrNoRows where there is none, and where the database
// itself is gone.
func (c *client) row(ctx context.Context, database, query string, arguments []any, into ...any) error {
	err := c.in(ctx, database, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query, arguments...).Scan(into...)
	})
	if hasCode(err, "3D000") {
		return pgx.ErrNoRows
	}
	return err
}

// hasCode tells whether the server answered with this SQLSTATE.
func hasCode(err error, code string) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == code
}

// failed reports an error of the server or of the way there.
func failed(diags *diag.Diagnostics, what string, err error) {
	if err == nil {
		return
	}
	detail := err.Error()
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		detail = answer.Message + " (SQLSTATE " + answer.Code + ")"
		for _, more := range []string{answer.Detail, answer.Hint} {
			if more != "" {
				detail += "\n\n" + more
			}
		}
	}
	diags.AddError("Cannot "+what, detail)
}

// name quotes an identifier, or several that belong together.
func name(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// literal quotes a string. The server's standard_conforming_strings may be off,
// so a backslash makes it an escape string.
func literal(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", "''")
	if strings.Contains(text, `\`) {
		return " E'" + strings.ReplaceAll(text, `\`, `\\`) + "'"
	}
	return "'" + text + "'"
}

// limit writes a connection limit.
func limit(n types.Int64) string { return "CONNECTION LIMIT " + strconv.FormatInt(n.ValueInt64(), 10) }

// base is what all resources share: the client.
type base struct{ *client }

// Configure takes the client of the provider; without one (validation) there is
// nothing to take.
func (b *base) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if c, ok := req.ProviderData.(*client); ok {
		b.client = c
	}
}

// drop reports what keeps an object from being dropped; one that is gone
// already, with all its database even, is no failure.
func (b *base) drop(ctx context.Context, diags *diag.Diagnostics, what, database, statement string) {
	err := b.exec(ctx, database, statement)
	if hasCode(err, "3D000") {
		return
	}
	failed(diags, "drop "+what, err)
}
