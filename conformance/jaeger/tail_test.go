package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var all tail
	fmt.Fprint(&all, "one\ntwo\n")
	if got, want := all.String(), "one\ntwo"; got != want {
		t.Errorf("short output: got %q, want %q", got, want)
	}

	var end tail
	for i := range 10000 {
		fmt.Fprintf(&end, "line %d\n", i)
	}
	got := end.String()
	if len(got) > tailBytes || len(got) < tailBytes/2 {
		t.Errorf("long output: kept %d bytes, want at most and about %d", len(got), tailBytes)
	}
	if !strings.HasPrefix(got, "line ") || !strings.HasSuffix(got, "\nline 9999") {
		t.Errorf("long output: got %.20q...%q, want whole lines to the last", got, got[len(got)-20:])
	}

	var long tail
	fmt.Fprint(&long, strings.Repeat("x", 3*tailBytes)+"end\n")
	if got := long.String(); len(got) < tailBytes-1 || !strings.HasSuffix(got, "xend") {
		t.Errorf("one long line: kept %d bytes, want its last %d", len(got), tailBytes-1)
	}
}
