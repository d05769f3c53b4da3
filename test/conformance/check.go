package conformance

import (
	"slices"
	"testing"
	"time"
)

// check is one rule that a switch is held to.
type check struct {
	name  string
	needs Feature // empty: every switch has to pass it
	run   func(*topology)
}

// checks lists all checks in the order of the report.
func checks() []check {
	return slices.Concat(
		learningChecks(), floodingChecks(), filteringChecks(), portChecks(), limitChecks(), truthChecks(), separationChecks(),
	)
}

// Run holds switches against all checks, as parallel subtests of t, each check with
// a fresh switch that open makes, and adds what comes of it to r. What open makes
// must go with the test that it is given. One switch more is asked what it offers:
// checks of features that it lacks are not run.
func Run(t *testing.T, r *Report, open func(testing.TB) Adapter) {
	sample := open(t)
	name := sample.Name()
	r.column(name)
	for i, c := range checks() {
		result := Result{Check: c.name, Switch: name, Status: Failed, order: i}
		if why := c.lackedBy(sample); why != nil {
			result.Status, result.Remark = NotOffered, why.Error()
			r.add(result)
			continue
		}
		t.Run(name+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			l := &topology{TB: t}
			begin := time.Now()
			// The first to be registered is the last to run: what goes wrong while the
			// switch is taken down counts as well.
			t.Cleanup(func() {
				if !t.Failed() {
					result.Status = Passed
				}
				result.Remark, result.Seconds = l.remark, time.Since(begin).Seconds()
				r.add(result)
			})
			l.sw = open(t)
			c.run(l)
		})
	}
}

// lackedBy says why the check does not concern a switch.
func (c check) lackedBy(sw Adapter) error {
	if c.needs == "" {
		return nil
	}
	return sw.Offers(c.needs)
}
