module github.com/sqlitemw/sqlitemw/conformance/apps

go 1.26.0
