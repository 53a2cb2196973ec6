package engines_test

import (
	"net"
	"slices"
	"sync"
)

// A listener passes the server's ends of in-memory connections to a server. Because of these
// connections and the clock of synctest, nothing here depends on speed.
type listener struct {
	serve func(net.Conn)

	mu   sync.Mutex
	open map[net.Conn]bool
}

// dial opens a connection and returns the client's end.
func (l *listener) dial() net.Conn {
	client, end := net.Pipe()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[net.Conn]bool)
	}
	l.open[end] = true
	go func() {
		out := newBufferedConn(end)
		l.serve(out)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, end)
		close(out.queue)
	}()
	return client
}

// drop closes all connections, like a server that shuts down.
func (l *listener) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.open {
		end.Close()
	}
}

// A bufferedConn does not wait for its writes to be read. A socket does not either, but a pipe
// does.
type bufferedConn struct {
	net.Conn
	queue chan []byte
}

func newBufferedConn(conn net.Conn) bufferedConn {
	c := bufferedConn{conn, make(chan []byte, 100)}
	go func() {
		for b := range c.queue {
			conn.Write(b) // an error means that the client has closed; then the next read fails, too
		}
		conn.Close()
	}()
	return c
}

func (c bufferedConn) Write(b []byte) (int, error) {
	c.queue <- slices.Clone(b)
	return len(b), nil
}
