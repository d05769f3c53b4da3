package control

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vswitch/api"
	"vswitch/internal/control/view"
	"vswitch/tap"
)

// saysGone reports whether an error of [core.openNamespace] is an answer: there is no such
// namespace, or its name leads to something else by now. Other errors, such as that no descriptor
// is left or that a mount does not answer, say nothing about a port.
func saysGone(err error) bool {
	kind := api.KindOf(err)
	return kind == api.NotFound || kind == api.Invalid
}

// passes reports whether what has failed for a port may succeed later without that anybody changes
// something about the port: it is tried again.
func passes(err error) bool {
	for _, answer := range []error{errLostNamespace, errLostLink, errLostOwn, tap.ErrBusy} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return !saysGone(err) && api.KindOf(err) != api.Conflict
}

// Pauses before what has failed is tried again for ports, the second twice the first and so on.
const (
	againFirst = 100 * time.Millisecond
	againMost  = 30 * time.Second
)

// retries are what is to be tried again for ports.
type retries struct {
	timer  *time.Timer // runs while there is anything
	pauses *backoff.ExponentialBackOff
}

func newRetries() retries {
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: againFirst, Multiplier: 2, MaxInterval: againMost,
	}
	pauses.Reset()
	return retries{pauses: pauses}
}

// again has find called after a pause, for what has failed for p: the log says it once. One thing
// is tried again for a port at a time.
func (pc *ports) again(p *port, what string, err error, find finding) {
	if why := what + err.Error(); why != p.trouble {
		p.trouble = why
		pc.log.Warn(what+", which is tried again", "port", p.record.Name,
			"netns", view.Namespace(p.record), "error", err)
	}
	if p.again == nil {
		p.again = find
	}
	if pc.retries.timer == nil && !pc.closed {
		pc.retries.timer = time.AfterFunc(pc.retries.pauses.NextBackOff(), pc.tryAgain)
	}
}

// tryAgain tries again all that has failed.
func (pc *ports) tryAgain() {
	pc.lock()
	defer pc.unlockSoon()
	pc.retries.timer = nil
	if pc.closed {
		return
	}
	var losses []loss
	for _, p := range pc.allPorts {
		find := p.again
		if find == nil {
			continue
		}
		p.again = nil
		if l, lost := find(); lost {
			losses = append(losses, l)
		}
		if p.again == nil {
			p.trouble = ""
		}
	}
	pc.lose(losses)
	if pc.retries.timer == nil {
		pc.retries.pauses.Reset()
	}
}
