package tracing

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README and the package's documentation name the attributes and metrics
// that the code has, and no others.
func TestDocumented(t *testing.T) {
	names := regexp.MustCompile("[`\" \t]" + `\b(?:db|error|sqlitemw|sqlite)\.[a-z_]+(?:\.[a-z_]+)*\b`)
	code := make(map[string]bool)
	for _, file := range []string{"attributes.go", "metrics.go", "../driver/facts.go", "../driver/busy.go"} {
		for line := range strings.Lines(read(t, file)) {
			line, _, _ = strings.Cut(line, "//")
			for _, name := range names.FindAllString(line, -1) {
				if name[0] == '"' {
					code[name[1:]] = true
				}
			}
		}
	}
	// Those that the code has from the conventions' own package.
	for _, name := range []string{
		"db.system.name", "db.namespace", "db.query.summary", "db.query.text", "db.operation.name", "db.response.status_code",
		"db.response.returned_rows", "error.type", "db.client.connection.state", "db.client.connection.pool.name",
	} {
		code[name] = true
	}
	// What is a log record's, and not in these files.
	const event = "db.client.operation.exception"
	for _, file := range []string{"doc.go", "../README.md"} {
		var said []string
		for _, name := range names.FindAllString(read(t, file), -1) {
			said = append(said, name[1:])
		}
		for name := range code {
			if !slices.Contains(said, name) {
				t.Errorf("%s does not speak of %s", file, name)
			}
		}
		for _, name := range said {
			if isName := strings.HasPrefix(name, "db.client.") || strings.HasPrefix(name, "db.response.") ||
				strings.HasPrefix(name, "db.query.") || strings.HasPrefix(name, "sqlitemw.") || strings.HasPrefix(name, "sqlite.") && name != "sqlite.org" || strings.HasPrefix(name, "error."); isName && !code[name] && name != event {
				t.Errorf("%s speaks of %s, which there is not", file, name)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
