// Package compat plays the same programs over mattn/go-sqlite3, modernc.org/sqlite
// and this module's drivers for programs of either, and compares what they see.
//
// The programs are in package player. They open hundreds of DSNs, write and read times in all
// forms, scan all types, begin transactions, execute queries of several statements, cause
// errors, and read files that others have written. Command play plays them over one driver. The
// test builds it once for each driver, because two of them register the same name.
//
// "sqlitemw-mattn" and "sqlitemw-pool-mattn" must see exactly what mattn's driver sees, and
// likewise for modernc's. The exceptions are in one table, in differences_test.go, each with
// its reason. A difference without an entry fails the test, and so does an entry without a
// difference.
//
//	go test -run TestPrograms -differences -    # print all differences that are not in the table
//
// Without a C compiler, mattn's driver cannot be built, and its part is skipped.
package compat
