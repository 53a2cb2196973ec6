package fusefs

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// An Image is the contents of a disk: the files' contents by name.
type Image map[string][]byte

// WriteTo writes the image to a directory of a real file system.
func (m Image) WriteTo(dir string) error {
	for name, d := range m {
		if err := os.WriteFile(filepath.Join(dir, name), d, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Live returns what processes see at this moment, except for shared memory.
func (f *FS) Live() Image {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := Image{}
	for name, x := range f.names {
		if !inMemory(name) {
			m[name] = append([]byte(nil), x.data...)
		}
	}
	return m
}

// Load replaces all files by those of an image, and makes them durable. No process may have a
// file open.
func (f *FS) Load(m Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names, f.durable, f.changes = map[string]*file{}, map[string]*file{}, nil
	for name, d := range m {
		x := f.newFile(name, 0o644)
		x.data = append([]byte(nil), d...)
		x.synced = append([]byte(nil), d...)
		f.names[name], f.durable[name] = x, x
	}
}

// Freeze returns what the disk may hold if the power fails at this moment. The file system
// itself continues. r decides which unsynced writes the image has.
func (f *FS) Freeze(r *rand.Rand) Image {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := maps.Clone(f.durable)
	for _, c := range f.changes[:r.IntN(len(f.changes)+1)] {
		c.apply(names)
	}
	m := Image{}
	for name, x := range names {
		if !inMemory(name) {
			m[name] = survivors(r, append([]byte(nil), x.synced...), x.pending)
		}
	}
	return m
}

// survivors applies to synced those unsynced writes that survive.
func survivors(r *rand.Rand, synced []byte, pending []write) []byte {
	end := int64(len(synced))
	d := synced
	// In half of all cases, the disk has written in order, and was interrupted.
	if r.IntN(2) == 0 {
		n := r.IntN(len(pending) + 1)
		for _, w := range pending[:n] {
			d = w.apply(d)
		}
		if n < len(pending) {
			d = tear(r, d, pending[n], r.Float64(), end)
		}
		return d
	}
	// In the other half, it has written in another order.
	keep := []float64{0, 0.1, 0.5, 0.9, 1}[r.IntN(5)]
	for _, w := range pending {
		d = tear(r, d, w, keep, end)
	}
	return d
}

// garbage is the probability that a sector past the synced end holds garbage, if the write to
// it has not survived. It is low because journaling file systems mostly avoid garbage.
const garbage = 0.05

// tear applies some sectors of a write, each with probability keep.
func tear(r *rand.Rand, d []byte, w write, keep float64, end int64) []byte {
	if w.data == nil {
		if r.Float64() < keep {
			d = w.apply(d)
		}
		return d
	}
	for at := w.off; at < w.off+int64(len(w.data)); {
		next := min(w.off+int64(len(w.data)), (at/sector+1)*sector)
		part := write{off: at, data: w.data[at-w.off : next-w.off]}
		switch {
		case r.Float64() < keep:
			d = part.apply(d)
		case at >= end && r.Float64() < garbage:
			junk := make([]byte, next-at)
			for i := range junk {
				junk[i] = byte(r.Uint32())
			}
			part.data = junk
			d = part.apply(d)
		}
		at = next
	}
	return d
}
