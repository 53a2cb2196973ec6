package wrap

import "database/sql/driver"

// A Server is the address of a connection's server, as server.address and server.port.
type Server struct {
	// Address is the host's name or IP address, or the path of a Unix socket, as the program
	// configured it. Empty means that it is not known.
	Address string

	// Port is the port. Zero means none. The default port of the [tracing.Source]'s System is not
	// shown, as the conventions say.
	Port int
}

// describe returns the server of a connection that has been opened. A panic of the program's
// function means that it is not known.
func (o *Opener) describe(parent driver.Conn) (s Server) {
	if o.server != nil {
		shield(func() { s = o.server(parent) })
	}
	return s
}

// isBroken reports whether the program says that a connection is dead.
func (o *Opener) isBroken(parent driver.Conn) bool {
	return o.broken != nil && o.askBroken(parent)
}

// askBroken asks the program's function. If that panics, the connection counts as dead.
func (o *Opener) askBroken(parent driver.Conn) bool {
	broken := true
	shield(func() { broken = o.broken(parent) })
	return broken
}
