package bench

import "fmt"

// Suite is a set of scenarios, each with its command.
type Suite string

// The suites.
const (
	SuiteAll     Suite = ""        // what one would use vswitch for, beside the others
	SuiteRFC2889 Suite = "rfc2889" // the tests of RFC 2889 for LAN switching devices
	SuiteSize    Suite = "size"    // what more ports, addresses and flows cost
)

func (s Suite) scenarios() []scenario {
	switch s {
	case SuiteAll:
		return scenarios()
	case SuiteRFC2889:
		return rfc2889Scenarios()
	case SuiteSize:
		return sizeScenarios()
	}
	panic(fmt.Sprintf("no suite %q", string(s)))
}

// DefaultPeers returns the names of the peers that a suite measures unless it is asked for
// others; none are all.
func (s Suite) DefaultPeers() []string {
	if s == SuiteAll {
		return nil
	}
	return []string{"vswitch-adaptive", "bridge", "ovs"}
}
