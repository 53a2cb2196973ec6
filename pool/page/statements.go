package page

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A statementList is statements.json.
type statementList struct {
	Taken      time.Time       `json:"taken"`
	Statements []statementLine `json:"statements"` // those first that have taken the longest in total
	More       int             `json:"more"`       // that are not listed
}

// A statementLine is the statistics of a statement. Durations are in seconds.
type statementLine struct {
	ID            string            `json:"id,omitempty"`
	System        string            `json:"system,omitempty"`
	Database      string            `json:"database,omitempty"`
	Summary       string            `json:"summary,omitempty"`
	Text          string            `json:"text"` // without literals
	Calls         uint64            `json:"calls"`
	Running       int               `json:"running"`
	Last          *time.Time        `json:"last"` // null if no call has ended
	Total         float64           `json:"total"`
	Share         float64           `json:"share"` // of the total of all statements, from 0 to 1
	Mean          float64           `json:"mean"`
	Max           float64           `json:"max"`
	P50           float64           `json:"p50"`
	P95           float64           `json:"p95"`
	P99           float64           `json:"p99"`
	Rows          int64             `json:"rows"`
	Errors        uint64            `json:"errors"`
	Codes         map[string]uint64 `json:"codes,omitempty"`
	Engine        float64           `json:"engine"`
	LockWait      float64           `json:"lock_wait"`
	FullScanSteps int64             `json:"full_scan_steps"`
	Sorts         int64             `json:"sorts"`
	AutoIndexRows int64             `json:"auto_index_rows"`
}

const (
	mostStatements = 200 // that are listed
	mostCodes      = 10  // of a statement that are listed
)

// takenStatements are all statements at one time.
type takenStatements struct {
	list  statementList
	json  []byte                   // of list
	plans map[string]*tracing.Plan // by the ID of a statement
}

func takeStatements(all []tracing.Statement, n *names) takenStatements {
	taken := takenStatements{list: statementsOf(all, n), plans: make(map[string]*tracing.Plan)}
	// The list has only texts, finite numbers and times, and so no error.
	taken.json, _ = marshal(&taken.list)
	for i := range all {
		if all[i].Plan != nil {
			taken.plans[all[i].ID] = all[i].Plan
		}
	}
	return taken
}

func statementsOf(all []tracing.Statement, n *names) statementList {
	l := statementList{Taken: time.Now(), Statements: []statementLine{}, More: max(0, len(all)-mostStatements)}
	var total time.Duration
	for i := range all {
		total += all[i].Total
	}
	for i := range all[:min(len(all), mostStatements)] {
		line := statementOf(&all[i], n)
		if total > 0 {
			line.Share = float64(all[i].Total) / float64(total)
		}
		l.Statements = append(l.Statements, line)
	}
	return l
}

func statementOf(s *tracing.Statement, n *names) statementLine {
	line := statementLine{
		ID: visible(s.ID, longestID), System: visible(s.System, longestName), Summary: visible(s.Summary, longestName), Text: inOneLine(s.Text),
		Calls: s.Calls, Running: s.Running,
		Total: s.Total.Seconds(), Mean: s.Mean().Seconds(), Max: s.Max.Seconds(), P50: s.P50.Seconds(), P95: s.P95.Seconds(), P99: s.P99.Seconds(),
		Rows: s.Rows, Errors: s.Errors, Engine: s.Engine.Seconds(), LockWait: s.LockWait.Seconds(),
		FullScanSteps: s.FullScanSteps, Sorts: s.Sorts, AutoIndexRows: s.AutoIndexRows,
	}
	if !n.hide {
		line.Database = visible(s.Database, longestName)
	}
	if !s.Last.IsZero() {
		line.Last = &s.Last
	}
	codes := slices.SortedFunc(maps.Keys(s.Codes), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Codes[b], s.Codes[a]), cmp.Compare(a, b))
	})
	for i, code := range codes {
		if i == 0 {
			line.Codes = make(map[string]uint64)
		}
		if i == mostCodes {
			line.Codes["other"] += s.Codes[code]
			for _, code := range codes[i+1:] {
				line.Codes["other"] += s.Codes[code]
			}
			break
		}
		line.Codes[visible(code, longestName)] += s.Codes[code]
	}
	return line
}

// A planLine is plan.json.
type planLine struct {
	Taken    time.Time `json:"taken"`
	Steps    []string  `json:"steps"`
	Findings []string  `json:"findings"`
}

func planOf(p *tracing.Plan) planLine {
	return planLine{p.Taken, visibleList(p.Steps), visibleList(p.Findings)}
}

func visibleList(texts []string) []string {
	const most = 100
	list := make([]string, 0, min(len(texts), most+1))
	for i, text := range texts {
		if i == most {
			return append(list, more(len(texts)-most))
		}
		list = append(list, visible(text, longestText))
	}
	return list
}
