package driver_test

import (
	"database/sql"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A query that cannot be read is named after the system, every time.
func TestUnreadableTextIsNamedAfterTheSystem(t *testing.T) {
	tel := newTelemetry(t)
	tel.Attributes = []attribute.KeyValue{attribute.String("app", "shop")}
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	db.SetMaxOpenConns(1)
	for _, text := range []string{"SELEC", "INSER", "DELET"} {
		db.Exec(text)
		if got := tel.spans.calls()[0].Name(); got != "sqlite" {
			t.Errorf("%s: span %q, want %q", text, got, "sqlite")
		}
	}
}

type secretText string

// What is logged about an argument depends on the type that the program passed.
func TestLogArgumentSeesTheProgramsType(t *testing.T) {
	tel := newTelemetry(t)
	tel.LogArgument = func(v any) (string, bool) { return fmt.Sprintf("%T", v), true }
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Init: callable})
	db.SetMaxOpenConns(1)
	const query = "SELECT fail('x'), ?, ?, ?"
	args := []any{secretText("secret"), uint8(8), valuer{"secret"}}
	for name, call := range map[string]func() (*sql.Rows, error){
		"exec":  func() (*sql.Rows, error) { _, err := db.Exec(query, args...); return nil, err },
		"query": func() (*sql.Rows, error) { return db.Query(query, args...) },
	} {
		tel.forget(t)
		if rows, err := call(); err == nil {
			rows.Next()
			rows.Close()
		}
		got := fmt.Sprint(tel.lines.take(t)[0]["arguments"])
		if want := "map[1:driver_test.secretText 2:uint8 3:driver_test.valuer]"; got != want {
			t.Errorf("%s: arguments %s, want %s", name, got, want)
		}
	}
}
