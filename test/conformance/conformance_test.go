package conformance

import (
	"flag"
	"io"
	"os"
	"testing"

	"vswitch/test/lab"
)

// make conformance shows the report; go test with a package's name keeps it to
// itself unless something fails.
var (
	format = flag.String("format", "table", "the report's format, table or json")
	output = flag.String("output", "", "the file that the report is written to (default standard output)")
)

func TestMain(m *testing.M) { lab.Main(m, lab.Build) }

func TestConformance(t *testing.T) {
	lab.RequireRoot(t)
	lab.RequireCommand(t, "ip", "bridge", "nsenter")
	write := map[string]func(*Report, io.Writer) error{"table": (*Report).WriteTable, "json": (*Report).WriteJSON}[*format]
	if write == nil {
		t.Fatalf("-format %q is unknown: give table or json", *format)
	}
	report := new(Report)
	t.Run("on", func(t *testing.T) { // returns when all parallel ones have ended
		Run(t, report, func(tb testing.TB) Adapter { return NewVSwitch(tb) })
		Run(t, report, func(tb testing.TB) Adapter { return NewBridge(tb) })
	})
	w := os.Stdout
	if *output != "" {
		var err error
		if w, err = os.Create(*output); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
	}
	if err := write(report, w); err != nil {
		t.Error(err)
	}
}

func TestTheMatrixIsLarge(t *testing.T) {
	t.Parallel()
	const stations = 3 // on each of two segments
	if pairs := len(kinds()) * stations * stations * 2; pairs < 336 {
		t.Errorf("%d kinds make %d kinds and port pairs, want 336", len(kinds()), pairs)
	}
}
