package instrument

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumented checks that the README and the package documentation name exactly the
// attributes and metrics of the code.
func TestDocumented(t *testing.T) {
	names := regexp.MustCompile("[`\" \t]" + `\b(?:db|error|server|sqlitemw|sqlite)\.[a-z_]+(?:\.[a-z_]+)*\b`)
	code := make(map[string]bool)
	for _, file := range []string{"attributes.go", "metrics.go", "poolmetrics.go", "../../driver/facts.go", "../../driver/busy.go"} {
		for line := range strings.Lines(read(t, file)) {
			line, _, _ = strings.Cut(line, "//")
			for _, name := range names.FindAllString(line, -1) {
				if name[0] == '"' {
					code[name[1:]] = true
				}
			}
		}
	}
	// The code takes these from the conventions' own package.
	for _, name := range []string{
		"db.system.name", "db.namespace", "db.query.summary", "db.query.text", "db.operation.name", "db.response.status_code",
		"db.response.returned_rows", "error.type", "db.client.connection.state", "db.client.connection.pool.name",
		"server.address", "server.port",
	} {
		code[name] = true
	}
	// The name of a log record, which is not in these files.
	const event = "db.client.operation.exception"
	for _, file := range []string{"../doc.go", "../../README.md"} {
		var named []string
		for _, name := range names.FindAllString(read(t, file), -1) {
			named = append(named, name[1:])
		}
		for name := range code {
			if !slices.Contains(named, name) {
				t.Errorf("%s does not name %s", file, name)
			}
		}
		for _, name := range named {
			if isName := strings.HasPrefix(name, "db.client.") || strings.HasPrefix(name, "db.response.") ||
				strings.HasPrefix(name, "db.query.") || strings.HasPrefix(name, "sqlitemw.") || strings.HasPrefix(name, "sqlite.") && name != "sqlite.org" || strings.HasPrefix(name, "error.") || strings.HasPrefix(name, "server."); isName && !code[name] && name != event {
				t.Errorf("%s names %s, which is not in the code", file, name)
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
