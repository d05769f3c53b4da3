package view

import (
	"fmt"

	"vswitch/internal/host"
)

// Way is the way that containers have from the host on.
type Way struct {
	Problem string                // why there is none; empty: there is one
	Foreign func() []host.Foreign // firewalls of others that may be in it; nil: not known
}

// Beyond says why containers reach the host and no farther, as far as is known: for reasons of
// ours, or because of another firewall; empty if they do. It waits for nobody.
func (w Way) Beyond() string {
	if w.Problem != "" || w.Foreign == nil {
		return w.Problem
	}
	for _, f := range w.Foreign() {
		return fmt.Sprintf("another firewall may keep containers from the outside: "+
			"its chain %s drops what it does not know; %s", f, f.Remedy())
	}
	return ""
}
