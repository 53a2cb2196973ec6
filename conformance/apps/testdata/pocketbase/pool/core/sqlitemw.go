package core

import "github.com/pocketbase/dbx"

// Dbx picks the SQL that it writes by the name of the driver.
func init() { dbx.BuilderFuncMap["sqlitemw-pool-modernc"] = dbx.BuilderFuncMap["sqlite"] }
