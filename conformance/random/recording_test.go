package random

import (
	"fmt"
	"runtime"
	"strings"
)

// A recordingTB is a test that is expected to fail.
type recordingTB struct {
	name   string
	failed bool
	log    strings.Builder
}

func (r *recordingTB) Helper()      {}
func (r *recordingTB) Name() string { return r.name }

func (r *recordingTB) Logf(format string, args ...any) { fmt.Fprintf(&r.log, format+"\n", args...) }
func (r *recordingTB) Log(args ...any)                 { fmt.Fprintln(&r.log, args...) }

func (r *recordingTB) Skipf(format string, args ...any) { r.Logf(format, args...); r.SkipNow() }
func (r *recordingTB) Skip(args ...any)                 { r.Log(args...); r.SkipNow() }
func (r *recordingTB) SkipNow()                         { runtime.Goexit() }

func (r *recordingTB) Errorf(format string, args ...any) { r.Logf(format, args...); r.Fail() }
func (r *recordingTB) Error(args ...any)                 { r.Log(args...); r.Fail() }
func (r *recordingTB) Fatalf(format string, args ...any) { r.Errorf(format, args...); r.FailNow() }
func (r *recordingTB) Fatal(args ...any)                 { r.Error(args...); r.FailNow() }

func (r *recordingTB) Fail()        { r.failed = true }
func (r *recordingTB) FailNow()     { r.Fail(); runtime.Goexit() }
func (r *recordingTB) Failed() bool { return r.failed }
