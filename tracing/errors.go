package tracing

import "fmt"

// A ConfigError describes a field of a [Config] that [New] has refused.
type ConfigError struct {
	Field  string
	Value  any
	Remedy string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("tracing: Config.%s is %v: %s", e.Field, e.Value, e.Remedy)
}
