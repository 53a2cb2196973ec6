//go:build !go1.27

package wrap

import "database/sql/driver"

func shapedMappedRows(r *mappedRows) driver.Rows { return r }
