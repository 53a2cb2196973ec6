//go:build go1.27

package wrap

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// parentScanner is the parent's interface, converted once, because it is called for every row
// and every column.
type parentScanner = driver.RowsColumnScanner

func scannerOf(parent driver.Rows) parentScanner {
	s, _ := parent.(driver.RowsColumnScanner)
	return s
}

// makeScannerRows returns rows that scan columns themselves. database/sql steps them with
// NextRow, not Next.
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

// scanColumn reads a column of the current row from the engine, if the row is still there.
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

// nextRow is Next for rows that scan columns themselves.
func (r *rows) nextRow() error {
	if r.closed {
		return io.EOF
	}
	if r.conn.broken {
		return r.failPanicked()
	}
	if err := r.step(); err != nil {
		return err
	}
	defer r.breakOnPanic()
	var err error
	if !r.watched {
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
	if r.conn.settler != nil {
		err = r.show(err)
	}
	switch {
	case err != nil:
		err = r.finish(err)
	case r.count < delegateAfter:
		r.count++
		if r.count == delegateAfter {
			r.useDelegate()
		}
	}
	return err
}

// delegateAfter is the number of rows after which nextRow looks for a delegate. For fewer
// rows, that is not worth its cost.
const delegateAfter = 2

// useDelegate replaces the scanner by its delegate, if it has one.
func (r *rows) useDelegate() {
	if d, ok := r.parent.(RowsDelegate); ok {
		if s, ok := d.Delegate().(driver.RowsColumnScanner); ok {
			r.scanner = s
		}
	}
}

// errRowsClosed is the error for scanning rows that are closed. database/sql never does that.
var errRowsClosed = errors.New("sqlitemw: the rows are closed")
