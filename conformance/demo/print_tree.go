package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// printTree prints the spans of one trace, each below its parent and in the order of their
// start.
func printTree(w io.Writer, spans []sdktrace.ReadOnlySpan) {
	if len(spans) == 0 {
		fmt.Fprintln(w, "no spans")
		return
	}
	// Spans are in the order of their end, which also orders those that started at the same
	// time.
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int {
		return a.StartTime().Compare(b.StartTime())
	})
	known := make(map[trace.SpanID]bool)
	for _, span := range spans {
		known[span.SpanContext().SpanID()] = true
	}
	tree := spanTree{
		children: make(map[trace.SpanID][]sdktrace.ReadOnlySpan),
		first:    spans[0],
		table: table{columns: []column{
			{title: "span"},
			{title: "began", right: true},
			{title: "took", right: true},
			{title: "conn", right: true},
			{title: "kind"},
			{title: "error"},
		}},
	}
	var roots []sdktrace.ReadOnlySpan
	for _, span := range spans {
		if parent := span.Parent().SpanID(); known[parent] {
			tree.children[parent] = append(tree.children[parent], span)
		} else {
			roots = append(roots, span)
		}
	}
	for _, root := range roots {
		tree.add(root, "", "")
	}
	tree.table.print(w)
}

type spanTree struct {
	children map[trace.SpanID][]sdktrace.ReadOnlySpan // by parent
	first    sdktrace.ReadOnlySpan
	table    table
}

// add adds a span after a branch, and its children, whose lines begin with indent.
func (t *spanTree) add(span sdktrace.ReadOnlySpan, branch, indent string) {
	t.table.row(
		branch+span.Name(),
		"+"+human(span.StartTime().Sub(t.first.StartTime())),
		human(span.EndTime().Sub(span.StartTime())),
		attributeOf(span, "sqlitemw.connection.id"),
		span.SpanKind().String(),
		errorOf(span),
	)
	children := t.children[span.SpanContext().SpanID()]
	for i, child := range children {
		if i < len(children)-1 {
			t.add(child, indent+"├─ ", indent+"│  ")
		} else {
			t.add(child, indent+"└─ ", indent+"   ")
		}
	}
}

// errorOf returns the span's error: its type, and for a number also its meaning.
func errorOf(span sdktrace.ReadOnlySpan) string {
	if span.Status().Code != codes.Error {
		return ""
	}
	text, typ := span.Status().Description, attributeOf(span, "error.type")
	if typ == "" {
		return text
	}
	if _, err := strconv.Atoi(typ); err == nil {
		return typ + ": " + text
	}
	return typ
}

func attributeOf(span sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range span.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}
