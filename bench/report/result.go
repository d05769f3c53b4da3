package report

import "time"

// SchemaVersion is that of [Result] as JSON.
const SchemaVersion = 1

// Result is all that one run of the harness measured.
type Result struct {
	Schema   int       `json:"schema"` // [SchemaVersion]
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Machine  Machine   `json:"machine"`
	Settings Settings  `json:"settings"`
	Series   []Series  `json:"series"`
	Failures []Failure `json:"failures,omitempty"`
}

// Machine is what the run ran on.
type Machine struct {
	CPU       string            `json:"cpu"`
	CPUs      int               `json:"cpus"`
	MemoryMiB int               `json:"memory_mib"`
	Kernel    string            `json:"kernel"`
	OS        string            `json:"os"`
	Go        string            `json:"go"`
	Version   string            `json:"version"` // of vswitch
	Tools     map[string]string `json:"tools"`   // version by name: iperf3, ovs, vde …
}

// Settings are what the run was asked for.
type Settings struct {
	Scenarios []string      `json:"scenarios"`
	Peers     []string      `json:"peers"`
	Rounds    int           `json:"rounds"`
	Duration  time.Duration `json:"duration_ns"` // of one measurement
}

// Series is one figure of one peer, measured once in each round.
type Series struct {
	Scenario string    `json:"scenario"`         // as in --scenario: ping, tcp, frames …
	Case     string    `json:"case"`             // what is varied: "interval=3ms", "streams=8", "size=64", "ports=256,pairs=1"
	X        float64   `json:"x,omitempty"`      // the varied number, for plots over it
	Peer     string    `json:"peer"`             // as in --peer: vswitch-adaptive, bridge, relay …
	Metric   string    `json:"metric"`           // rtt_p50, throughput, cpu_seconds_per_gb, delivered_rate …
	Unit     string    `json:"unit"`             // "us", "Gb/s", "frames/s" …
	Better   Direction `json:"better"`           // which way is good
	Values   []float64 `json:"values"`           // one a round, in order; a failed round has none
	Sample   []float64 `json:"sample,omitempty"` // for a CDF: evenly spaced quantiles 0 … 1 over all rounds, 201 of them
}

// Direction says which way of a figure is good.
type Direction string

// The directions.
const (
	Higher Direction = "higher"
	Lower  Direction = "lower"
)

// Failure is a measurement that did not come about. It is reported, never left out.
type Failure struct {
	Scenario string `json:"scenario"`
	Case     string `json:"case"`
	Peer     string `json:"peer"`
	Round    int    `json:"round"`
	Error    string `json:"error"`
}
