package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"vswitch/bench/stat"
)

// compareTitles are the columns of a comparison; those from compareNumbers on are numbers.
var compareTitles = []string{
	"SCENARIO", "CASE", "METRIC", "PEER", "VERDICT", "UNIT", "A", "B", "CHANGE", "P", "÷ BRIDGE", "P",
}

const compareNumbers = 6

// WriteTable writes c for people: a line for each figure with its medians in A and B,
// the change of it, and the change of its ratio to the kernel bridge.
func (c *Comparison) WriteTable(w io.Writer) error {
	var out bytes.Buffer
	rows := [][]string{compareTitles}
	count := map[Verdict]int{}
	for i := range c.Changes {
		rows = append(rows, c.Changes[i].cells())
		count[c.Changes[i].Verdict]++
	}
	if len(c.Changes) > 0 {
		if err := writeColumns(&out, rows, compareNumbers); err != nil {
			return err
		}
		fmt.Fprintln(&out)
	}
	fmt.Fprintf(&out, "%d figures: %d better, %d worse, %d with no more than noise, %d of too few rounds (want %d), %d only in A, %d only in B\n",
		len(c.Changes), count[Better], count[Worse], count[Unchanged], count[TooFew], stat.MinRounds,
		count[OnlyA], count[OnlyB])
	if tested := count[Better] + count[Worse] + count[Unchanged]; tested > 0 {
		fmt.Fprintf(&out, "by chance alone, %.2g of the %d that were tested would show a change (Mann–Whitney U, alpha %g)\n",
			c.Alpha*float64(tested), tested, c.Alpha)
	}
	for _, note := range c.Notes {
		fmt.Fprintf(&out, "note: %s\n", note)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// cells are a line of the table, "-" for what is not known.
func (c *Change) cells() []string {
	var medians []float64
	for _, v := range []*float64{c.A, c.B} {
		if v != nil {
			medians = append(medians, *v)
		}
	}
	s := scaleOf(c.Unit, medians)
	variant := c.Case
	if variant == "" {
		variant = "-"
	}
	return []string{
		c.Scenario, variant, c.Metric, c.Peer, c.Verdict.words(), s.unit,
		optional(c.A, s.text), optional(c.B, s.text),
		optional(c.Change, percent), optional(c.P, threePlaces),
		optional(c.RatioChange, percent), optional(c.RatioP, threePlaces),
	}
}

func optional(v *float64, text func(float64) string) string {
	if v == nil {
		return "-"
	}
	return text(*v)
}

func percent(v float64) string { return fmt.Sprintf("%+.1f%%", 100*v) }

func threePlaces(v float64) string { return fmt.Sprintf("%.3f", v) }

// words is the verdict for people.
func (v Verdict) words() string {
	switch v {
	case Unchanged:
		return "no change"
	case TooFew:
		return "too few rounds"
	case OnlyA:
		return "only in A"
	case OnlyB:
		return "only in B"
	}
	return string(v)
}

// WriteJSON writes c for machines.
func (c *Comparison) WriteJSON(w io.Writer) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(c); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}
