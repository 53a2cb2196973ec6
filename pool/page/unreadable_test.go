package page_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestUnreadablePool checks that a pool that panics when it is read does not hide the others.
func TestUnreadablePool(t *testing.T) {
	h := newPage(t, (*pool.Pool)(nil), &view{name: "app.db"}, nil)
	s := decode[state](t, get(h, "/state.json"))
	if len(s.Pools) != 2 || s.Pools[0].Health != "down" || s.Pools[1].Name != "app.db" {
		t.Errorf("%+v", s.Pools)
	}
	for _, route := range dataRoutes {
		if w := get(h, "/?file="+route+"&pool="+s.Pools[0].ID); w.Code != 200 || strings.Contains(w.Body.String(), "internal error") {
			t.Errorf("%s: %d %s", route, w.Code, w.Body)
		}
	}
}
