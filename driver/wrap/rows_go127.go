//go:build go1.27

package wrap

import (
	"bytes"
	"database/sql"
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
	return r.scanColumn(ctx, i, dest)
}

// NextRow implements [driver.RowsColumnScanner].
func (r *scannerFullRows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *scannerFullRows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	return r.scanColumn(ctx, i, dest)
}

// scanColumn reads a column of a row that the engine keeps, if it does still.
func (r *rows) scanColumn(ctx driver.ScanContext, i int, dest any) error {
	switch {
	case r.closed:
		return errRowsClosed
	case r.conn.broken:
		return ErrPanicked
	}
	err := r.hold()
	defer r.drop()
	if err != nil {
		return err
	}
	err = r.scanner.ScanColumn(ctx, i, dest)
	if raw, ok := dest.(*sql.RawBytes); ok && r.conn.copies {
		*raw = bytes.Clone(*raw)
	}
	return err
}

// nextRow is as Next.
func (r *rows) nextRow() error {
	if r.closed {
		return io.EOF
	}
	if r.conn.broken {
		return r.lost()
	}
	if err := r.step(); err != nil {
		return err
	}
	defer r.passed()
	var err error
	if !r.stepped {
		err = r.scanner.NextRow()
	} else {
		began := r.call.Step()
		err = r.scanner.NextRow()
		r.call.Stepped(began, err == nil)
	}
	r.conn.inCall = false
	if gate := r.conn.gate; gate != nil {
		gate.Leave()
	}
	switch {
	case err != nil:
		err = r.over(err)
	case r.rows < farther:
		r.rows++
		if r.rows == farther {
			r.narrow()
		}
	}
	return err
}

// farther is the row from which on it pays to ask who else may be asked for rows.
const farther = 2

// narrow replaces the scanner by its delegate, if it has one.
func (r *rows) narrow() {
	if d, ok := r.parent.(RowsDelegate); ok {
		if s, ok := d.Delegate().(driver.RowsColumnScanner); ok {
			r.scanner = s
		}
	}
}

// errRowsClosed is for who scans rows that are closed, which database/sql never
// does.
var errRowsClosed = errors.New("sqlitemw: the rows are closed")
