package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// quantile returns the q-th quantile of sorted, with linear interpolation between two values.
// Without values, it returns NaN.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	part := at - float64(low)
	return sorted[low]*(1-part) + sorted[low+1]*part
}

func median(xs []float64) float64 {
	s := slices.Clone(xs)
	slices.Sort(s)
	return quantile(s, 0.5)
}

// spread returns half the distance between the quartiles, which is the noise without outliers.
func spread(xs []float64) float64 {
	s := slices.Clone(xs)
	slices.Sort(s)
	return (quantile(s, 0.75) - quantile(s, 0.25)) / 2
}

// A Ratio is a ratio of medians, with its 95% confidence interval.
type Ratio struct{ Value, Low, High float64 }

// narrow reports whether the interval is within ±part of the value.
func (r Ratio) narrow(part float64) bool {
	return r.High-r.Value <= part*r.Value && r.Value-r.Low <= part*r.Value
}

// ratio returns the ratio of a's median to b's, which were observed in the same rounds. The
// interval is a bootstrap interval: rounds are resampled with both of their observations, so
// that disturbances of both cancel out. The result is deterministic.
func ratio(a, b []float64) Ratio {
	n := min(len(a), len(b))
	if n == 0 {
		return Ratio{math.NaN(), math.NaN(), math.NaN()}
	}
	const draws = 1000
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	sampleA, sampleB := make([]float64, n), make([]float64, n)
	ratios := make([]float64, draws)
	for i := range ratios {
		for j := range n {
			k := rng.IntN(n)
			sampleA[j], sampleB[j] = a[k], b[k]
		}
		slices.Sort(sampleA)
		slices.Sort(sampleB)
		ratios[i] = divide(quantile(sampleA, 0.5), quantile(sampleB, 0.5))
	}
	slices.Sort(ratios)
	return Ratio{
		Value: divide(median(a[:n]), median(b[:n])),
		Low:   quantile(ratios, 0.025),
		High:  quantile(ratios, 0.975),
	}
}

// divide treats 0/0 as 1: two contenders that both allocate nothing, or both never fail, are
// equal.
func divide(a, b float64) float64 {
	if a == 0 && b == 0 {
		return 1
	}
	return a / b
}
