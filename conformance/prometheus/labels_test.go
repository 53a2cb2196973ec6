package prometheus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The expected labels of calls, without those that all calls have in common: the operation, and
// how it failed.

func operation(name string) string { return labels{"db_operation_name": name}.String() }

func summary(name string) string { return labels{"db_query_summary": name}.String() }

func prepare(name string) string {
	return labels{"db_operation_name": "PREPARE", "db_query_summary": name}.String()
}

func failed(name, errorType, code string) string {
	return labels{"db_query_summary": name, "error_type": errorType, "db_response_status_code": code}.String()
}

// labels are the labels of one series.
type labels map[string]string

// String returns the same text for the same labels.
func (l labels) String() string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		s = append(s, fmt.Sprintf("%s=%q", name, l[name]))
	}
	return strings.Join(s, ",")
}

// without removes the common labels, which must exist with these values. It returns the others,
// or what is wrong.
func (l labels) without(common labels) (labels, error) {
	left := maps.Clone(l)
	for name, want := range common {
		if got, ok := l[name]; !ok || got != want {
			return nil, fmt.Errorf("%s is %q, want %q", name, got, want)
		}
		delete(left, name)
	}
	return left, nil
}
