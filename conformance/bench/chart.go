package main

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// style is readable on light and dark pages. Colors with a meaning also differ in lightness,
// for color-blind readers.
const style = `<style>
	text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
	.title { font-size: 15px; font-weight: 600 }
	.name { font-weight: 600 }
	.small { font-size: 10.5px; fill: #59636e; paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
	.own { fill: #0969da } .base { fill: #6e7781 } .peer { fill: #c9a227 }
	.own-line { stroke: #0969da } .base-line { stroke: #6e7781 } .peer-line { stroke: #c9a227 }
	.rule { stroke: #6e7781; stroke-width: 1; stroke-dasharray: 3 3 } .whisker { stroke: #1f2328; stroke-width: 1.2 }
	.axis { stroke: #8c959f; stroke-width: 1; fill: none } .line { fill: none; stroke-width: 1.8 }
	.dots { stroke-dasharray: 5 3 }
	.page { fill: #ffffff }
	@media (prefers-color-scheme: dark) {
		text { fill: #e6edf3 } .small { fill: #9198a1; stroke: #0d1117 } .page { fill: #0d1117 }
		.own { fill: #4493f8 } .base { fill: #9198a1 } .peer { fill: #d4b03a }
		.own-line { stroke: #4493f8 } .base-line { stroke: #9198a1 } .peer-line { stroke: #d4b03a }
		.rule { stroke: #9198a1 } .whisker { stroke: #e6edf3 } .axis { stroke: #6e7681 }
	}
</style>
`

// The panels of the first chart, and the rows of each panel.
var (
	chartedWorkloads  = []string{"point", "point-prepared", "scan", "insert", "tx10", "open", "insert-full", "tx10-full"}
	chartedContenders = []string{
		"ncruces-raw", Baseline, "sqlitemw", "sqlitemw-never", "sqlitemw-sampled", "sqlitemw-sampled-waits",
		"xsam-sampled", "nhat-sampled", "uptrace-sampled", "mattn", "modernc", "zombiezen",
	}
)

// family returns the CSS class with which a contender is drawn.
func family(name string) string {
	switch {
	case strings.HasPrefix(name, "sqlitemw"):
		return "own"
	case strings.HasPrefix(name, Baseline):
		return "base"
	default:
		return "peer"
	}
}

// chart draws the ratios to the baseline as bars, with their intervals.
func (r *Report) chart(w io.Writer) error {
	const (
		panelWidth, rowHeight   = 345, 18
		labels, bars, top, left = 150, 130, 64, 14
		most                    = 3.0 // where bars are cut off
	)
	panelHeight := 42 + rowHeight*len(chartedContenders)
	var b strings.Builder
	width, height := left+3*panelWidth, top+(len(chartedWorkloads)+2)/3*panelHeight+8
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	b.WriteString("<title>Time of an operation as a multiple of the bare driver's</title>\n" + style)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="26">Time of an operation, as a multiple of bare %s: shorter is faster</text>`+"\n", left, Baseline)
	fmt.Fprintf(&b, `<text class="small" x="%d" y="45">%s</text>`+"\n", left, html.EscapeString(chartCaption()))
	scale := float64(bars) / most
	for i, name := range chartedWorkloads {
		x, y := left+i%3*panelWidth, top+i/3*panelHeight
		base := resultOf(r.Results, name, Baseline)
		if base == nil || base.Err != nil {
			continue
		}
		fmt.Fprintf(&b, `<text class="name" x="%d" y="%d">%s</text>`+"\n", x, y+14, name)
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d">bare: %s, %s</text>`+"\n", x+labels, y+14,
			duration(median(base.Rounds[Time])), base.Workload.durability())
		// Drawn first, so that bars and numbers are on top of it.
		one := float64(x+labels) + scale
		fmt.Fprintf(&b, `<path class="rule" d="M%.1f %dV%d"/>`+"\n", one, y+20, y+22+rowHeight*len(chartedContenders))
		for j, who := range chartedContenders {
			result := resultOf(r.Results, name, who)
			at := y + 22 + j*rowHeight
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, x+labels-6, at+12, who)
			if result == nil || result.Err != nil {
				fmt.Fprintf(&b, `<text class="small" x="%d" y="%d">not there</text>`+"\n", x+labels+2, at+12)
				continue
			}
			v := ratio(result.Rounds[Time], base.Rounds[Time])
			end := func(v float64) float64 { return float64(x+labels) + scale*min(v, most) }
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="12"/>`, family(who), x+labels, at+2, scale*min(v.Value, most))
			if v.High > v.Low {
				fmt.Fprintf(&b, `<path class="whisker" d="M%.1f %dH%.1f"/>`, end(v.Low), at+8, end(v.High))
			}
			more := ""
			if v.Value > most {
				more = " →"
			}
			fmt.Fprintf(&b, `<text class="small" x="%.1f" y="%d">%.2f%s</text>`+"\n", end(max(v.Value, v.High))+4, at+12, v.Value, more)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// chartCaption returns the origin of the numbers. It omits the command, which is too long for a
// chart.
func chartCaption() string {
	where, _, _ := strings.Cut(machine(nil), ", by ")
	return where + ". Thin lines are 95% intervals. -never, -sampled: with an SDK; else without."
}

// growthChart draws a panel for each curve, both axes logarithmic.
func (r *Report) growthChart(w io.Writer) error {
	const panelWidth, panelHeight, top, plotW, plotH, left = 400, 290, 58, 290, 190, 60
	var b strings.Builder
	all := curves()
	width, height := 3*panelWidth, top+(len(all)+2)/3*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	b.WriteString("<title>The cost of a unit as its number grows</title>\n" + style)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	b.WriteString(`<text class="title" x="14" y="26">How the cost of a unit grows: both axes logarithmic</text>` + "\n")
	for i, c := range all {
		x, y := i%3*panelWidth+left, top+i/3*panelHeight+32
		lowX, highX := float64(c.Values[0]), float64(c.Values[len(c.Values)-1])
		lowY, highY := math.Inf(1), 0.0
		for _, p := range r.Points {
			if p.Curve.Name == c.Name {
				lowY, highY = min(lowY, p.Time), max(highY, p.Time)
			}
		}
		if highY == 0 {
			continue
		}
		lowY, highY = lowY/1.3, highY*1.3
		atX := func(v float64) float64 { return float64(x) + plotW*math.Log(v/lowX)/math.Log(highX/lowX) }
		atY := func(v float64) float64 { return float64(y) + plotH - plotH*math.Log(v/lowY)/math.Log(highY/lowY) }
		fmt.Fprintf(&b, `<text class="name" x="%d" y="%d">%s, %s</text>`+"\n", x, y-22, c.Name, c.durability())
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d">%s</text>`+"\n", x, y-8, html.EscapeString(c.What))
		fmt.Fprintf(&b, `<path class="axis" d="M%d %dV%dH%d"/>`+"\n", x, y, y+plotH, x+plotW)
		for _, n := range c.Values {
			fmt.Fprintf(&b, `<text class="small" x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", atX(float64(n)), y+plotH+15, n)
		}
		for _, part := range []float64{0, 0.5, 1} {
			v := lowY * math.Pow(highY/lowY, part)
			fmt.Fprintf(&b, `<text class="small" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", x-5, atY(v)+4, duration(v))
		}
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", x+plotW/2, y+plotH+31, html.EscapeString(c.Param))
		drawLines(&b, r.Points, c, atX, atY)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// drawLines draws a line for each contender, with its name where it ends.
func drawLines(b *strings.Builder, points []Point, c *Curve, atX, atY func(float64) float64) {
	type label struct {
		name string
		x, y float64
	}
	var labels []label
	for i, name := range growing {
		var path strings.Builder
		var end label
		for _, p := range points {
			if p.Curve.Name == c.Name && p.Contender == name {
				end = label{strings.TrimPrefix(name, "sqlitemw-"), atX(float64(p.N)), atY(p.Time)}
				step := "L"
				if path.Len() == 0 {
					step = "M"
				}
				fmt.Fprintf(&path, "%s%.1f %.1f", step, end.x, end.y)
			}
		}
		if path.Len() == 0 {
			continue
		}
		dots := ""
		if i%2 == 0 && i > 0 { // distinguishes two lines of a family
			dots = " dots"
		}
		fmt.Fprintf(b, `<path class="line %s-line%s" d="%s"/>`+"\n", family(name), dots, path.String())
		labels = append(labels, end)
	}
	// From the top, each label at a minimum distance below the previous one.
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	last := math.Inf(-1)
	for _, l := range labels {
		last = max(l.y, last+11)
		fmt.Fprintf(b, `<text class="small" x="%.1f" y="%.1f">%s</text>`+"\n", l.x+4, last+4, l.name)
	}
}
