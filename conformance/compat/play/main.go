// Command play plays the programs of package player over one driver, and prints what each saw
// as a line of JSON. Build tags choose the linked drivers, because two of them register the
// same name: mattn, modernc, or by default this module's.
//
//	go run ./play -driver sqlitemw-mattn -run 'times/read/.*'
//	go run -tags modernc ./play -driver sqlite -text -run 'dsn/"a.db"'
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

// A target is a driver that this binary links.
type target struct {
	dialect          player.Dialect
	plain, noTimeout string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "play:", err)
		os.Exit(1)
	}
}

func run() error {
	name := flag.String("driver", "", "the driver's `name`")
	dir := flag.String("dir", "", "an empty `directory` for databases; a temporary one by default")
	files := flag.String("files", "", "a `directory` of files that drivers have written, to read, too")
	write := flag.String("write", "", "write files into a `directory` and do nothing else")
	pattern := flag.String("run", "", "play the programs whose name matches a `pattern`")
	text := flag.Bool("text", false, "print text instead of JSON")
	flag.Parse()

	t, ok := targets[*name]
	if !ok {
		return fmt.Errorf("this binary has no driver %q", *name)
	}
	if *dir == "" {
		temp, err := os.MkdirTemp("", "play")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		*dir = temp
	}
	// SQLite reports paths without symbolic links.
	real, err := filepath.EvalSymlinks(*dir)
	if err != nil {
		return err
	}
	s := player.Setup{Driver: *name, Dialect: t.dialect, Plain: t.plain, NoTimeout: t.noTimeout, Dir: real, Files: *files}
	if *pattern != "" {
		if s.Run, err = regexp.Compile(*pattern); err != nil {
			return err
		}
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // pools log problems that programs cause
	if *write != "" {
		return s.Write(*write)
	}

	enc := json.NewEncoder(os.Stdout)
	return s.Play(func(o player.Outcome) error {
		if !*text {
			return enc.Encode(o)
		}
		var b strings.Builder
		fmt.Fprintln(&b, o.Program)
		for _, l := range o.Lines {
			fmt.Fprintf(&b, "\t%s: %s\n", l.Key, l.Value)
		}
		_, err := os.Stdout.WriteString(b.String())
		return err
	})
}
