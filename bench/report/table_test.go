package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update", false, "write what the tests get into testdata")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the tests with -update to make it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update accepts it), got:\n%s", path, got)
	}
}

func TestWriteTable(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Result{"table.txt": synthetic(), "table-empty.txt": {}, "table-odd.txt": odd()} {
		var b bytes.Buffer
		if err := WriteTable(&b, r); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// odd is a run in which most went wrong.
func odd() *Result {
	return &Result{
		Schema:   SchemaVersion,
		Settings: Settings{Peers: []string{"bridge", "relay", "ovs", "vde"}, Rounds: 4},
		Series: []Series{
			{Scenario: "congestion", Peer: "relay", Metric: "loss", Unit: "%", Better: Lower, Values: []float64{0, 0, 0, 0.5}},
			{Scenario: "congestion", Peer: "bridge", Metric: "loss", Unit: "%", Better: Lower, Values: []float64{0, 0, 0, 0}},
			{Scenario: "attach", Case: "ports=1000", Peer: "relay", Metric: "add_port_p50", Unit: "us", Better: Lower, Values: []float64{12345, 2345678}},
			{Scenario: "attach", Case: "ports=1000", Peer: "bridge", Metric: "add_port_p50", Unit: "us", Better: Lower},
			{Scenario: "attach", Case: "ports=1000", Peer: "relay", Metric: "memory_per_port", Unit: "B", Better: Lower, Values: []float64{65536}},
		},
		Failures: []Failure{
			{Scenario: "attach", Case: "ports=1000", Peer: "bridge", Round: 2, Error: "ip link:\n\x1b[31mno\tdevice"},
			{Scenario: "attach", Case: "ports=1000", Peer: "bridge", Round: 4, Error: "ip link: [31mno device"},
			{Scenario: "attach", Case: "ports=1000", Peer: "bridge", Round: 3, Error: ""},
			{Scenario: "", Peer: "vde", Error: "vde_switch: not installed"},
			{Scenario: "frames", Case: "size=64", Peer: "", Round: 1, Error: "sender: no such device"},
		},
	}
}

func TestTranscriptLine(t *testing.T) {
	t.Parallel()
	series := []Series{
		{Metric: "ping_min", Values: []float64{21, 20}},
		{Metric: "ping_avg", Values: []float64{25, 35}},
		{Metric: "ping_max", Values: []float64{101, 1100}},
	}
	for i := range series {
		s := &series[i]
		s.Scenario, s.Peer, s.Unit, s.Better = "ping", "bridge", "us", Lower
	}
	write := func(s []Series) string {
		var b bytes.Buffer
		if err := WriteTable(&b, &Result{Series: s, Settings: Settings{Rounds: 2}}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := write(series), "\nbridge: rtt min/avg/max = 0.020/0.030/1.100 ms\n"; !strings.Contains(got, want) {
		t.Errorf("no line %q in\n%s", want, got)
	}
	if got := write(series[:2]); strings.Contains(got, "rtt min/avg/max") {
		t.Errorf("a line without a maximum in\n%s", got)
	}
}

func TestThreeDigits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", 1: "1.00", 9.996: "10.0", 99.96: "100", 12.345: "12.3", 123.45: "123", 1234.5: "1234", 999.6: "1000",
		0.12345: "0.123", 0.00099999: "0.00100", -3.14159: "-3.14", 1e-12: "1e-12", 1e18: "1000000000000000000",
		math.Inf(1): "+Inf",
	} {
		if got := threeDigits(v); got != want {
			t.Errorf("threeDigits(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		unit       string
		values     []float64
		text, want string
	}{
		{"us", []float64{4, 12000}, "4.00", "µs"},
		{"us", []float64{4000, 12000}, "4.00", "ms"},
		{"us", []float64{4e6, 0}, "4.00", "s"},
		{"frames/s", []float64{1.32e6, 250e3}, "1.32", "M frames/s"},
		{"frames/s", []float64{132e3}, "132", "k frames/s"},
		{"transactions/s", []float64{9000}, "9000", "transactions/s"},
		{"Gb/s", []float64{1e6}, "1000000", "Gb/s"},
		{"B", []float64{98304}, "96.0", "KiB"},
		{"bytes", []float64{32 << 20}, "32.0", "MiB"},
		{"ns", []float64{1e5}, "100000", "ns"},
		{"us", nil, "", "µs"},
	} {
		s := scaleOf(test.unit, test.values)
		if s.unit != test.want {
			t.Errorf("%v %s are shown in %q, want %q", test.values, test.unit, s.unit, test.want)
		}
		if len(test.values) > 0 && s.text(test.values[0]) != test.text {
			t.Errorf("%v %s is shown as %s %s, want %s", test.values[0], test.unit, s.text(test.values[0]), s.unit, test.text)
		}
	}
}
