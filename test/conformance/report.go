package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// Status is what came of a check.
type Status string

// The statuses.
const (
	Passed     Status = "pass"
	Failed     Status = "FAIL"
	NotOffered Status = "not offered" // the switch lacks the feature; counts neither way
)

// Result is what came of one check of one switch.
type Result struct {
	Check   string  `json:"check"`
	Switch  string  `json:"switch"`
	Status  Status  `json:"status"`
	Remark  string  `json:"remark,omitempty"` // why it is not offered, or how much was checked
	Seconds float64 `json:"seconds"`

	order int // place of the check among all
}

// Report gathers results; any goroutine may add to it. The zero Report is empty.
type Report struct {
	mu       sync.Mutex
	results  []Result // guarded by mu
	switches []string // guarded by mu; the columns
}

// column adds a switch, unless there is one of this name.
func (r *Report) column(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.switches, name) {
		r.switches = append(r.switches, name)
	}
}

func (r *Report) add(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
}

// Results lists the results: in the order of the checks, and of the switches as they
// were added.
func (r *Report) Results() []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Clone(r.results)
	slices.SortFunc(list, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(slices.Index(r.switches, a.Switch), slices.Index(r.switches, b.Switch)))
	})
	return list
}

// WriteJSON writes the results as one array.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(append([]Result{}, r.Results()...))
}

// WriteTable writes for people: a row for each check, a column for each switch,
// remarks and sums below.
func (r *Report) WriteTable(w io.Writer) error {
	results := r.Results()
	switches := r.columns()
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ToUpper(strings.Join(append([]string{"check"}, switches...), "\t")))
	for i := 0; i < len(results); {
		check := results[i].Check
		cells := make(map[string]Status)
		for ; i < len(results) && results[i].Check == check; i++ {
			cells[results[i].Switch] = results[i].Status
		}
		row := check
		for _, s := range switches {
			row += "\t" + string(cmp.Or(cells[s], "-"))
		}
		fmt.Fprintln(tw, row)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, remarks(results)+sums(results, switches))
	return err
}

// columns are the switches in the order of the table.
func (r *Report) columns() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.switches)
}

// remarks lists what the results say beside their status.
func remarks(results []Result) string {
	var b strings.Builder
	for _, r := range results {
		if r.Remark != "" {
			fmt.Fprintf(&b, "%s, %s: %s\n", r.Switch, r.Check, r.Remark)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + b.String()
}

// sums counts each switch's results.
func sums(results []Result, switches []string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for _, s := range switches {
		count := make(map[Status]int)
		for _, r := range results {
			if r.Switch == s {
				count[r.Status]++
			}
		}
		fmt.Fprintf(&b, "%s: %d passed, %d failed, %d not offered\n", s, count[Passed], count[Failed], count[NotOffered])
	}
	return b.String()
}
