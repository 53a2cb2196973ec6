package engines_test

import (
	"net"
	"sync"
)

// A listener hands the server's ends of connections in memory to a server.
// That, and a clock of synctest's, is why nothing here depends on speed.
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
		defer l.forget(end)
		l.serve(end)
	}()
	return client
}

func (l *listener) forget(end net.Conn) {
	end.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, end)
}

// drop closes all connections, as a server does that is shut down.
func (l *listener) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.open {
		end.Close()
	}
}
