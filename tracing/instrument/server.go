package instrument

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// A server is the server of connections. A nil server is not known.
type server struct {
	attrs []attribute.KeyValue
	label bool // metrics have attrs, too
}

// maxServers bounds the number of servers in the metrics of one database. A cluster has a few
// nodes, but the addresses of new nodes may be new ones, as in Kubernetes, and a series stays
// for as long as its meter provider. Calls of further servers are measured without a server.
const maxServers = 64

type serverKey struct {
	address string
	port    int
}

// defaultPorts are the ports that the conventions omit.
// https://opentelemetry.io/docs/specs/semconv/db/database-spans/#span-definition
var defaultPorts = map[string]int{
	"postgresql":           5432,
	"mysql":                3306,
	"mariadb":              3306,
	"cockroachdb":          26257,
	"clickhouse":           9000,
	"microsoft.sql_server": 1433,
	"oracle.db":            1521,
}

// server returns the server with this address. An empty address is no server. A port below 1, or
// the default port of the system, is omitted.
func (d *Database) server(address string, port int) *server {
	if address == "" {
		return nil
	}
	if port == defaultPorts[d.system] || port < 1 {
		port = 0
	}
	key := serverKey{strings.ToValidUTF8(address, "\uFFFD"), port} // or an exporter refuses the batch
	d.servers.Lock()
	defer d.servers.Unlock()
	if s := d.servers.known[key]; s != nil {
		return s
	}
	s := &server{attrs: []attribute.KeyValue{semconv.ServerAddress(key.address)}}
	if port != 0 {
		s.attrs = append(s.attrs, semconv.ServerPort(port))
	}
	if len(d.servers.known) < maxServers {
		if d.servers.known == nil {
			d.servers.known = make(map[serverKey]*server)
		}
		s.label = true
		d.servers.known[key] = s
	}
	return s
}

// attributes returns the attributes of a server for spans.
func (s *server) attributes() []attribute.KeyValue {
	if s == nil {
		return nil
	}
	return s.attrs
}

// labels returns the attributes of a server for metrics.
func (s *server) labels() []attribute.KeyValue {
	if s == nil || !s.label {
		return nil
	}
	return s.attrs
}

// measuredAt is the option for measurements of an operation at one server.
type measuredAt struct {
	server   *server
	recorded []metric.RecordOption
}

// maxMeasuredAt bounds the servers for which an operation keeps the option. For others it is
// built for each call.
const maxMeasuredAt = 8

// recordedAt returns [operation.recorded] with the labels of the server.
func (o *operation) recordedAt(s *server) []metric.RecordOption {
	if s == nil || !s.label {
		return o.recorded()
	}
	p := o.atServers.Load()
	if p == nil {
		p = new([]measuredAt)
	}
	for _, m := range *p {
		if m.server == s {
			return m.recorded
		}
	}
	opts := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(slices.Concat(o.labels, s.attrs)...))}
	if len(*p) < maxMeasuredAt { // two goroutines may do this at a time, and one entry is then built again
		all := append(slices.Clone(*p), measuredAt{s, opts})
		o.atServers.Store(&all)
	}
	return opts
}
