package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// machine returns, in one line, where and how numbers were measured.
func machine(command []string) string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, %s, by `go run%s . %s`",
		cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		time.Now().UTC().Format("2006-01-02"), buildFlags(), strings.Join(command, " "))
}

// cpu returns the processor's model if the system reports it.
func cpu() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "a processor of unknown model"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "a processor of unknown model"
}

// buildFlags returns the build flags with which mattn's driver runs.
func buildFlags() string {
	if mattn().Missing != "" {
		return ""
	}
	return ` -tags mattn -ldflags="-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces"`
}

// versions returns the versions of the modules that are measured.
func versions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var list []string
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/ncruces/go-sqlite3", "github.com/ngrok/sqlmw", "github.com/XSAM/otelsql", "go.nhat.io/otelsql",
			"github.com/uptrace/opentelemetry-go-extra/otelsql", "github.com/mattn/go-sqlite3", "modernc.org/sqlite",
			"zombiezen.com/go/sqlite", "go.opentelemetry.io/otel/sdk":
			list = append(list, m.Path+" "+m.Version)
		}
	}
	return list
}
