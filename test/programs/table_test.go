package programs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"vswitch/test/lab"
)

// line is what a row has come to.
type line struct {
	row
	strict  []string // the reasons of what was dropped; none: it works
	options []string // of vsctl set-port, with which it works
	off     []string
	bridge  bool // it works there
}

// most is how many options a row may need, more than any does.
const most = 8

// at is the station that does it.
func (r row) at(v *site) *station {
	if r.client {
		return v.client
	}
	return v.a
}

// run has a row happen at a site and reports whether it worked, for which reasons frames were
// dropped, and the options that let pass such.
func (r row) run(v *site) (works bool, reasons, options []string) {
	at, do := r.at(v), func() { works = r.frames != nil && v.passes(r.frames(v.a, v.b)...) }
	if r.works != nil {
		do = func() { works = r.works(v) }
	}
	if v.set == nil {
		do()
		return works, nil, nil
	}
	reasons, options = v.during(at, do)
	if works {
		reasons = nil
	} else if len(reasons) == 0 {
		reasons = []string{"does not work"}
	}
	return works, reasons, options
}

// onVSwitch runs a row at each level of security, and with what is said to let it pass.
func (r row) onVSwitch(t *testing.T, v *site) (l line) {
	l.row = r
	v.set(r.at(v))
	works, reasons, hints := r.run(v)
	l.strict = reasons
	for !works && len(l.options) < most {
		more := slices.DeleteFunc(
			hints,
			func(h string) bool { return slices.Contains(l.options, h) },
		)
		if len(more) == 0 {
			t.Errorf(
				"%s: refused as %v with %v, and nothing more is said to let it pass",
				r.name,
				reasons,
				l.options,
			)
			break
		}
		l.options = append(l.options, more...)
		v.set(r.at(v), strings.Fields(strings.Join(l.options, " "))...)
		works, reasons, hints = r.run(v)
	}
	v.set(r.at(v), "--security", "off")
	_, l.off, _ = r.run(v)
	v.set(r.at(v))
	if r.frames != nil && len(l.options) > 0 {
		if again, _, _ := r.run(v); again {
			t.Errorf("%s: passes without its options once they were taken", r.name)
		}
	}
	return l
}

func TestPrograms(t *testing.T) {
	lab.RequireRoot(t)
	lab.RequireCommand(t, "ip", "ping")
	list := rows()
	lines := make([]line, len(list))
	t.Run("on", func(t *testing.T) { // returns when both have ended
		bridge := make([]bool, len(list))
		t.Cleanup(func() {
			for i := range lines {
				lines[i].bridge = bridge[i]
			}
		})
		t.Run("vswitch", func(t *testing.T) {
			t.Parallel()
			v := newVSwitch(t)
			v.settle(t)
			for i, r := range list {
				lines[i] = r.onVSwitch(t, v)
			}
		})
		t.Run("bridge", func(t *testing.T) {
			t.Parallel()
			v := newBridge(t)
			v.settle(t)
			for i, r := range list {
				bridge[i], _, _ = r.run(v)
			}
		})
	})
	if !t.Failed() {
		checkPage(t, table(lines))
	}
}

// table writes the lines as the page has them.
func table(lines []line) string {
	var b strings.Builder
	b.WriteString(
		"| program or protocol | strict | lets it pass | off | kernel bridge | run by |\n|---|---|---|---|---|---|\n",
	)
	for _, l := range lines {
		bridge := "passes"
		if !l.bridge {
			bridge = "dropped"
		}
		by := l.by
		if by == "" {
			by = "frames"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			l.name, verdict(l.strict), l.needs(), verdict(l.off), bridge, by)
	}
	return b.String()
}

// verdict names the reasons of drops.
func verdict(reasons []string) string {
	if len(reasons) == 0 {
		return "passes"
	}
	return "`" + strings.Join(reasons, "`, `") + "`"
}

// needs is what lets a row pass that strict refuses.
func (l line) needs() string {
	if len(l.options) == 0 {
		return ""
	}
	text := "`" + strings.Join(l.options, " ") + "`"
	if l.note != "" {
		text += "; " + l.note
	}
	return text
}

// page is where the table stands between two marks.
const (
	page  = "../../docs/programs.md"
	begin = "<!-- table: go test ./test/programs -args -update -->\n"
	end   = "<!-- end of the table -->\n"
)

// checkPage compares the table with the page's, or writes it there.
func checkPage(t *testing.T, table string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	written, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, says := strings.Split(table, "\n"), strings.Split(written, "\n")
	for _, l := range is {
		if !slices.Contains(says, l) {
			t.Errorf("%s does not say:\n%s", page, l)
		}
	}
	for _, l := range says {
		if !slices.Contains(is, l) {
			t.Errorf("%s says what is not so:\n%s", page, l)
		}
	}
}
