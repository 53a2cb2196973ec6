package page_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/tracing"
)

type statementList struct {
	Statements []struct {
		ID, Text, Summary, Database string
		Last                        *time.Time
		Calls                       uint64
		Total, Share, Mean          float64
		Codes                       map[string]uint64
		LockWait                    float64 `json:"lock_wait"`
	}
	More int
}

func statementsOf(t *testing.T, all []tracing.Statement, hide bool) (l statementList) {
	t.Helper()
	if err := json.Unmarshal(page.StatementsOf(all, hide), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestStatements checks what is shown of statistics by statement.
func TestStatements(t *testing.T) {
	if l := statementsOf(t, nil, false); len(l.Statements) != 0 || l.More != 0 {
		t.Errorf("without statistics: %+v", l)
	}
	all := []tracing.Statement{
		{ID: "a", Database: "app.db", Summary: "SELECT t", Text: "SELECT *\n\tFROM t", Calls: 4, Total: 3 * time.Second, Last: time.Unix(1, 0), LockWait: time.Millisecond},
		{ID: "b", Database: "app.db", Summary: hostile, Text: hostile, Calls: 0, Running: 1},
		{Text: "others", Calls: 1, Total: time.Second, Errors: 78, Codes: map[string]uint64{}},
	}
	for i := range 12 {
		all[2].Codes[fmt.Sprint("code ", i)] = uint64(i + 1)
	}
	l := statementsOf(t, all, false)
	if s := l.Statements[0]; s.Text != "SELECT * FROM t" || s.Share != 0.75 || s.Mean != 0.75 || s.Total != 3 || s.LockWait != 0.001 || s.Last == nil || s.Database != "app.db" {
		t.Errorf("%+v", s)
	}
	if s := l.Statements[1]; !strings.Contains(s.Text, `\u202egnp.exe`) || strings.ContainsAny(s.Summary, "\n\u202e\x1b") || s.Last != nil || s.Mean != 0 {
		t.Errorf("%+v", s)
	}
	if c := l.Statements[2].Codes; len(c) != 11 || c["code 11"] != 12 || c["other"] != 3 {
		t.Errorf("codes: %v", c)
	}
	if s := statementsOf(t, all, true).Statements[0]; s.Database != "" || s.Summary != "SELECT t" {
		t.Errorf("with hidden names: %+v", s)
	}
}

// TestManyStatements checks that the list is bounded, and counts what it leaves out.
func TestManyStatements(t *testing.T) {
	all := make([]tracing.Statement, 5000)
	for i := range all {
		all[i] = tracing.Statement{ID: fmt.Sprint(i), Text: strings.Repeat("SELECT ", 10_000)}
	}
	if l := statementsOf(t, all, false); len(l.Statements) != 200 || l.More != 4800 || len(l.Statements[0].Text) > 2010 {
		t.Errorf("%d statements and %d more", len(l.Statements), l.More)
	}
}
