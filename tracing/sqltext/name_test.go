package sqltext_test

import (
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

func TestUnquote(t *testing.T) {
	for written, want := range map[string]string{
		"a": "a", "": "", `"`: `"`, `""`: "", `"a"`: "a", `"a""b"`: `a"b`, `""""`: `"`, "`a``b`": "a`b", "[a b]": "a b", "[a\"\"]": `a""`, "'it''s'": "it's", `"it's"`: "it's", "A": "A",
	} {
		if got := sqltext.Unquote(written); got != want {
			t.Errorf("%s: %s, want %s", written, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	for name, want := range map[string]string{"": "", "abc": "abc", "aBC": "abc", "ÉA": "Éa", "[": "[", "@A": "@a"} {
		if got := sqltext.Fold(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "A", true}, {"a", "ab", false}, {"temp", "TeMP", true}, {"s", "\u017f", false}, {"é", "É", false}, {"[", "{", false}, {"@", "`", false}, {"\xc9", "\xe9", false},
	} {
		if got := sqltext.EqualFold(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: %t", tt.a, tt.b, got)
		}
	}
	if !sqltext.HasPrefixFold("Pragma_x", "pragma_") || sqltext.HasPrefixFold("pragma", "pragma_") {
		t.Error("HasPrefixFold is wrong about pragma_")
	}
}
