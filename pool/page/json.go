package page

import (
	"bytes"
	"encoding/json"
)

// marshal returns v as JSON that is harmless within HTML, with a line break at the end.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}
