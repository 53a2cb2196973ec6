package main

import (
	"strings"
	"testing"
)

func TestReadResults(t *testing.T) {
	var echo strings.Builder
	r, err := readResults(strings.NewReader(`
{"ImportPath":"m/a [m/a.test]","Action":"build-output","Output":"undefined: x\n"}
{"Action":"start","Package":"m/a"}
{"Action":"output","Package":"m/a","Output":"FAIL m/a [build failed]\n"}
{"Action":"fail","Package":"m/a","FailedBuild":"m/a [m/a.test]"}
{"Action":"start","Package":"m/b"}
{"Action":"run","Package":"m/b","Test":"TestX"}
{"Action":"output","Package":"m/b","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"pause","Package":"m/b","Test":"TestX"}
{"Action":"cont","Package":"m/b","Test":"TestX"}
{"Action":"pass","Package":"m/b","Test":"TestX"}
{"Action":"run","Package":"m/b","Test":"TestY"}
{"Action":"skip","Package":"m/b","Test":"TestY"}
{"Action":"run","Package":"m/b","Test":"TestZ"}
{"Action":"output","Package":"m/b","Output":"panic: of no test\n"}
{"Action":"fail","Package":"m/b"}
{"Action":"start","Package":"m/c"}
`), &echo)
	if err != nil {
		t.Fatal(err)
	}
	a, b := r["m/a"], r["m/b"]
	if a.verdict != fail || len(a.tests) != 0 || a.outputOf("") != "FAIL m/a [build failed]\nundefined: x\n" {
		t.Errorf("a: %v, %v, %q", a.verdict, a.tests, a.outputOf(""))
	}
	if c := r["m/c"]; c.verdict != unfinished {
		t.Errorf("c: %v", c.verdict)
	}
	for test, want := range map[string]verdict{"": fail, "TestX": pass, "TestY": skip, "TestZ": unfinished, "TestNone": none} {
		if got := b.of(test); got != want {
			t.Errorf("b.%s: %v, want %v", test, got, want)
		}
	}
	if got := b.outputOf("TestX"); got != "=== RUN   TestX\npanic: of no test\n" {
		t.Errorf("output of TestX is %q", got)
	}
	if want := "undefined: x\nFAIL m/a [build failed]\n=== RUN   TestX\npanic: of no test\n"; echo.String() != want {
		t.Errorf("echo is %q", echo.String())
	}
}

func TestReadResultsOfNoEvents(t *testing.T) {
	var echo strings.Builder
	if _, err := readResults(strings.NewReader("go: cannot find main module\n"), &echo); err == nil {
		t.Error("no error")
	}
}
