//go:build go1.27

package wrap

import (
	"database/sql/driver"
	"errors"
	"io"
)

// newScannerRows returns rows that scan columns themselves if parent does.
// They are then asked for rows by NextRow, not Next.
func newScannerRows(r rows, typed bool) *rows {
	scanner, ok := r.parent.(driver.RowsColumnScanner)
	if !ok {
		return nil
	}
	if typed {
		s := &scannerTypedRows{typedRows{r}, scanner}
		s.shaped = s
		return &s.rows
	}
	s := &scannerFullRows{fullRows{typedRows{r}}, scanner}
	s.shaped = s
	return &s.rows
}

// What is called for every row and column has the parent's interface at hand.
type (
	scannerTypedRows struct {
		typedRows
		scanner driver.RowsColumnScanner
	}
	scannerFullRows struct {
		fullRows
		scanner driver.RowsColumnScanner
	}
)

var (
	_ driver.RowsColumnScanner = &scannerTypedRows{}
	_ driver.RowsColumnScanner = &scannerFullRows{}
)

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerTypedRows) NextRow() error { return r.nextRow(r.scanner) }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerTypedRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	if r.closed {
		return errRowsClosed
	}
	return r.scanner.ScanColumn(ctx, i, dest)
}

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerFullRows) NextRow() error { return r.nextRow(r.scanner) }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerFullRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	if r.closed {
		return errRowsClosed
	}
	return r.scanner.ScanColumn(ctx, i, dest)
}

// nextRow is as Next.
func (r *rows) nextRow(scanner driver.RowsColumnScanner) error {
	if r.closed {
		return io.EOF
	}
	gate := r.conn.gate
	if gate != nil {
		if err := gate.Enter(); err != nil {
			r.over(err)
			return err
		}
	}
	r.stepping = true
	defer r.panicked()
	var err error
	if r.call == nil {
		err = scanner.NextRow()
	} else {
		began := r.call.Step()
		err = scanner.NextRow()
		r.call.Stepped(began, err == nil)
	}
	r.stepping = false
	if gate != nil {
		gate.Leave()
	}
	if err != nil {
		r.over(err)
	}
	return err
}

// errRowsClosed is for who scans rows that are closed, which database/sql never
// does.
var errRowsClosed = errors.New("sqlitemw: the rows are closed")
