//go:build go1.27

package wrap

import (
	"database/sql/driver"
	"io"
)

// newScannerRows returns rows that scan columns themselves if parent does.
// They are then asked for rows by NextRow, not Next.
func newScannerRows(r rows, typed bool) *rows {
	if _, ok := r.parent.(driver.RowsColumnScanner); !ok {
		return nil
	}
	if typed {
		s := &scannerTypedRows{typedRows{r}}
		s.shaped = s
		return &s.rows
	}
	s := &scannerFullRows{fullRows{typedRows{r}}}
	s.shaped = s
	return &s.rows
}

type (
	scannerTypedRows struct{ typedRows }
	scannerFullRows  struct{ fullRows }
)

var (
	_ driver.RowsColumnScanner = &scannerTypedRows{}
	_ driver.RowsColumnScanner = &scannerFullRows{}
)

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerTypedRows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerTypedRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	return r.parent.(driver.RowsColumnScanner).ScanColumn(ctx, i, dest)
}

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerFullRows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerFullRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	return r.parent.(driver.RowsColumnScanner).ScanColumn(ctx, i, dest)
}

func (r *rows) nextRow() error {
	parent, ok := r.parent.(driver.RowsColumnScanner)
	if !ok {
		return io.EOF // they are closed
	}
	r.stepping = true
	defer r.panicked()
	err := parent.NextRow()
	r.stepping = false
	if err != nil {
		r.over(err)
	}
	return err
}
