package instrument

import (
	"math"
	"math/bits"
	"time"
)

// durations counts durations in buckets, eight for each power of two, so that a bucket's middle is
// within 6 % of what it counts.
type durations [(maxOctave-minOctave+1)*perOctave + 1]uint32

const (
	minOctave = 10 // the first bucket has everything up to 2^10 ns, about 1 us
	maxOctave = 42 // the last bucket has everything from 2^43 ns on, about 2.4 h
	perOctave = 8
)

// add counts a duration. A full bucket stays full.
func (d *durations) add(took time.Duration) { d.addTo(bucketOf(took), 1) }

func (d *durations) addTo(i int, n uint32) {
	if d[i] > math.MaxUint32-n {
		n = math.MaxUint32 - d[i]
	}
	d[i] += n
}

// bucketOf returns the index of a duration's bucket.
func bucketOf(took time.Duration) int {
	if took < 1<<minOctave {
		return 0
	}
	octave := bits.Len64(uint64(took)) - 1
	if octave > maxOctave {
		return len(durations{}) - 1
	}
	eighth := int(took>>(octave-3)) & (perOctave - 1)
	return (octave-minOctave)*perOctave + eighth
}

// addAll adds what more has counted.
func (d *durations) addAll(more *durations) {
	for i, n := range more {
		d.addTo(i, n)
	}
}

// quantile returns the duration that a fraction q of all durations does not exceed. It is never more
// than most, the longest one.
func (d *durations) quantile(q float64, most time.Duration) time.Duration {
	var all uint64
	for _, n := range d {
		all += uint64(n)
	}
	if all == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(all)))
	for i, n := range d {
		if rank <= uint64(n) {
			return min(middle(i), most)
		}
		rank -= uint64(n)
	}
	return most
}

// middle returns the middle of a bucket.
func middle(i int) time.Duration {
	octave, eighth := i/perOctave+minOctave, i%perOctave
	width := time.Duration(1) << (octave - 3)
	return width*time.Duration(perOctave+eighth) + width/2
}
