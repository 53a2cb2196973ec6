package main

import (
	"context"

	"modernc.org/sqlite"
)

func openModernc(_ context.Context, file string, o Options) (Database, error) {
	return openDriver(&sqlite.Driver{}, pragmaURI(file, o, nil), o)
}
