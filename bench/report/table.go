package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// tableTitles are the columns of a case's table; those from numbersFrom on are numbers.
var tableTitles = []string{"METRIC", "PEER", "MEDIAN", "±", "MIN", "MAX", "÷ BRIDGE", "95% INTERVAL", "ROUNDS"}

const numbersFrom = 2

// WriteTable writes r for people: for each case of each scenario one table with the
// median of each peer over all rounds, the spread (the median absolute deviation in
// percent of it, the smallest and the largest value), and the ratio to the kernel bridge.
// What failed is listed below it.
func WriteTable(w io.Writer, r *Result) error {
	var out bytes.Buffer
	for i, b := range layout(r) {
		if i > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintln(&out, heading(b.scenario, b.variant))
		if len(b.groups) > 0 {
			if err := writeColumns(&out, tableRows(b), numbersFrom); err != nil {
				return err
			}
		}
		for _, line := range b.notes() {
			fmt.Fprintln(&out, line)
		}
	}
	if out.Len() == 0 {
		out.WriteString("nothing measured\n")
	}
	_, err := w.Write(out.Bytes())
	return err
}

// notes are the lines below the table.
func (b *block) notes() []string {
	lines := append([]string{}, b.transcripts...)
	lines = append(lines, b.failures...)
	if len(b.missing) > 0 {
		lines = append(lines, "not measured: "+strings.Join(b.missing, ", "))
	}
	return lines
}

// tableRows is the table of b with its titles. The metric stands in its first row only.
func tableRows(b block) [][]string {
	rows := [][]string{tableTitles}
	for _, g := range b.groups {
		for i, row := range g.rows {
			name := ""
			if i == 0 {
				name = g.title()
			}
			rows = append(rows, append([]string{name, row.series.Peer}, g.cells(row)...))
		}
	}
	return rows
}

// title is the metric with its unit and which way of it is good.
func (g *group) title() string {
	return fmt.Sprintf("%s (%s, %s is better)", g.metric, g.scale.unit, g.better)
}

// cells are the numbers of a row, "-" for what is not known.
func (g *group) cells(row row) []string {
	cells := []string{"-", "-", "-", "-", "-", "-", fmt.Sprint(row.summary.N)}
	if s := row.summary; s.N > 0 {
		cells[0], cells[2], cells[3] = g.scale.text(s.Median), g.scale.text(s.Low), g.scale.text(s.High)
		if s.N > 1 && s.Median != 0 {
			cells[1] = fmt.Sprintf("%.1f%%", 100*s.Deviation/math.Abs(s.Median))
		}
	}
	if ratio, ok := g.ratio(row); ok {
		cells[4] = ratioText(ratio.Value)
		if ratio.Bounded && row.series.Peer != BridgePeer {
			cells[5] = ratioText(ratio.Low) + "–" + ratioText(ratio.High)
		}
	}
	return cells
}

// ratioText writes two decimals, the precision of what is asked of ratios, or more where
// they would hide the figure.
func ratioText(v float64) string {
	if v != 0 && math.Abs(v) < 0.1 {
		return threeDigits(v)
	}
	return fmt.Sprintf("%.2f", v)
}

// writeColumns writes rows, the first of which are titles, with the cells from column
// numbers on aligned to the right.
func writeColumns(w io.Writer, rows [][]string, numbers int) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		padded := make([]string, len(row))
		for i, cell := range row {
			if i >= numbers {
				cell = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + cell
			}
			padded[i] = cell
		}
		fmt.Fprintln(tw, strings.Join(padded, "\t"))
	}
	return tw.Flush()
}
