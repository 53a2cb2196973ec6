package route

import (
	"fmt"
	"strings"
	"testing"
)

// TestQueryCacheLimitsBytes checks that the bytes of a pool's cached queries are limited.
func TestQueryCacheLimitsBytes(t *testing.T) {
	var ts Cache
	pad := strings.Repeat("x", maxCachedQueryLen-64)
	for i := range 500 {
		ts.Of(fmt.Sprintf("SELECT 1 AS %s_%d", pad, i))
	}
	if n := ts.share.Used(); n > 2<<20 || n < 1<<20 || len(ts.kept) > 130 {
		t.Errorf("%d queries are cached, with %d bytes", len(ts.kept), n)
	}
	if first := ts.Of("SELECT a"); ts.Of("SELECT a") != first {
		t.Error("the query is parsed twice")
	}
	for i := range 2 * maxCachedQueries {
		ts.Of(fmt.Sprintf("SELECT %d", i))
	}
	if n := len(ts.kept); n != maxCachedQueries {
		t.Errorf("%d queries are cached", n)
	}
	sum := 0
	for _, text := range ts.kept {
		sum += queryBytes(text.Text)
	}
	if n := ts.share.Used(); int(n) != sum {
		t.Errorf("%d bytes are counted, but %d are cached", n, sum)
	}
}
