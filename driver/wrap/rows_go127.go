//go:build go1.27

package wrap

import (
	"database/sql/driver"
	"errors"
	"io"
)

// What is called for every row and column has the parent's interface at hand.
type parentScanner = driver.RowsColumnScanner

func scannerOf(parent driver.Rows) parentScanner {
	s, _ := parent.(driver.RowsColumnScanner)
	return s
}

// makeScannerRows returns rows that scan columns themselves. They are asked for
// rows by NextRow, not Next.
func makeScannerRows(shape shape) *rows {
	if shape == scannerTypedShape {
		s := &scannerTypedRows{}
		s.shaped = s
		return &s.rows
	}
	s := &scannerFullRows{}
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
	if r.closed {
		return errRowsClosed
	}
	return r.scanner.ScanColumn(ctx, i, dest)
}

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerFullRows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerFullRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	if r.closed {
		return errRowsClosed
	}
	return r.scanner.ScanColumn(ctx, i, dest)
}

// nextRow is as Next.
func (r *rows) nextRow() error {
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
	var err error
	if !r.stepped {
		r.conn.startStep()
		err = r.scanner.NextRow()
		r.conn.inCall = false
	} else {
		err = r.tracedNextRow()
	}
	if gate != nil {
		gate.Leave()
	}
	switch {
	case err != nil:
		r.over(err)
	case r.rows < farther:
		r.rows++
		if r.rows == farther {
			r.narrow()
		}
	}
	return err
}

func (r *rows) tracedNextRow() error {
	r.stepping = true
	defer r.panicked()
	began := r.call.Step()
	err := r.scanner.NextRow()
	r.call.Stepped(began, err == nil)
	r.stepping = false
	return err
}

// farther is the row from which on it pays to ask who else may be asked for rows.
const farther = 2

// A Director is rows that do nothing any more but hand on what they are asked to
// others, which may as well be asked at once. Direct returns those others, or nil
// if the rows have still something to do themselves.
type Director interface {
	Direct() driver.RowsColumnScanner
}

// narrow asks for rows and columns where they come from.
func (r *rows) narrow() {
	if d, ok := r.parent.(Director); ok {
		if s := d.Direct(); s != nil {
			r.scanner = s
		}
	}
}

// errRowsClosed is for who scans rows that are closed, which database/sql never
// does.
var errRowsClosed = errors.New("sqlitemw: the rows are closed")
