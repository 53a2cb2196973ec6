package main

import (
	"context"
	"fmt"
	"net/url"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Immediate is the contender with which the pool's commits are compared: the bare driver, whose
// transactions lock the database at BEGIN, as the pool's do.
const Immediate = "ncruces-immediate"

// variantList are contenders that differ from another one only in options. They run only in
// workloads that name them.
var variantList = []struct {
	name, what string
	params     string // as in a DSN
	maxConns   int    // 0 means as many as the workload says
	open       func(params string) opener
}{
	{Immediate, "github.com/ncruces/go-sqlite3/driver, bare", "_txlock=immediate", 0, openNcrucesWith},
	{"ncruces-immediate-10", "the same on at most 10 connections", "_txlock=immediate", 10, openNcrucesWith},
	{"sqlitemw-pool-shared", "this module's own pool", "_pool_commit_sync=shared", 0, openPoolWith},
	{"sqlitemw-pool-shared-early", "this module's own pool", "_pool_commit_sync=shared-early", 0, openPoolWith},
	{"sqlitemw-pool-solo", "this module's own pool", "_pool_commit_sync=solo", 0, openPoolWith},
}

// variants returns the contenders of variantList.
func variants() []*Contender {
	var list []*Contender
	for _, v := range variantList {
		c := &Contender{Name: v.name, What: v.what + ", with " + v.params, Variant: true, MaxConns: v.maxConns, open: v.open(v.params)}
		list = append(list, c)
	}
	return append(list, &Contender{
		Name: viewed, Variant: true, open: openViewed,
		What: "this module's own pool, whose page is read every 250 ms",
	}, &Contender{
		Name: counted, Variant: true, open: openCounted,
		What: "this module's driver with statistics of 1000 statements, no SDK",
	})
}

// counted is "sqlitemw" with statistics by statement.
const counted = "sqlitemw-statements"

func openCounted(_ context.Context, file string, o Options) (Database, error) {
	tracer, err := tracing.New(tracing.Config{Statements: 1000})
	if err != nil {
		return nil, fmt.Errorf("make a tracer: %w", err)
	}
	return openDriver(&sqlitemw.Driver{Config: sqlitemw.Config{Tracing: tracer}}, pragmaURI(file, o, nil), o)
}

// openNcrucesWith returns a function that opens the bare driver with more parameters in the DSN.
func openNcrucesWith(params string) opener {
	return func(_ context.Context, file string, o Options) (Database, error) {
		more, err := url.ParseQuery(params)
		if err != nil {
			return nil, fmt.Errorf("read the parameters %q: %w", params, err)
		}
		return openDriver(&sqlite3driver.SQLite{}, pragmaURI(file, o, more), o)
	}
}
