package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		xs             []float64
		median, spread float64
	}{
		{[]float64{3}, 3, 0},
		{[]float64{4, 1}, 2.5, 0.75},
		{[]float64{5, 1, 3, 2, 4}, 3, 1},
		{[]float64{1, 1, 1, 1, 1000}, 1, 0},
	} {
		if m, s := median(c.xs), spread(c.xs); m != c.median || s != c.spread {
			t.Errorf("%v: %v ± %v, want %v ± %v", c.xs, m, s, c.median, c.spread)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of no values is not NaN")
	}
}

// The interval of a known ratio must contain it in about 95% of all trials. The test requires
// 90%, because the number of trials is small.
func TestRatioCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const truth, trials = 0.8, 200
	covered := 0
	for range trials {
		var a, b []float64
		for range 41 {
			disturbed := 1 + rng.ExpFloat64() // affects both observations of a round
			a = append(a, truth*disturbed*(1+0.05*rng.NormFloat64()))
			b = append(b, disturbed*(1+0.05*rng.NormFloat64()))
		}
		if r := ratio(a, b); r.Low <= truth && truth <= r.High {
			covered++
		}
	}
	if covered < trials*90/100 {
		t.Errorf("%d of %d intervals contain the true ratio, want about 95%%", covered, trials)
	}
}

func TestRatioOfKnown(t *testing.T) {
	a, b := []float64{2, 2, 2, 2}, []float64{4, 4, 4, 4}
	if r := ratio(a, b); r != (Ratio{0.5, 0.5, 0.5}) {
		t.Errorf("2 to 4 is %v", r)
	}
	if r := ratio([]float64{0, 0}, []float64{0, 0}); r.Value != 1 {
		t.Errorf("0/0 is %v, want 1", r)
	}
	if r := ratio(a, a[:2]); r.Value != 1 {
		t.Errorf("unequal numbers of rounds: %v", r)
	}
	if r := ratio(nil, b); !math.IsNaN(r.Value) {
		t.Errorf("no rounds: %v", r)
	}
	for _, c := range []struct {
		r    Ratio
		want bool
	}{{Ratio{1, 0.99, 1.01}, true}, {Ratio{1, 0.97, 1.01}, false}, {Ratio{1, 0.99, 1.03}, false}} {
		if c.r.narrow(0.02) != c.want {
			t.Errorf("%v is narrow: %v", c.r, !c.want)
		}
	}
}
