package e2e

import (
	"strings"
	"testing"

	"vswitch/test/lab"
)

// TestVirtualAddress: the address that two nodes share is given to no newcomer, so that clients
// go on talking to the node that has it, and to the other one when it moves.
func TestVirtualAddress(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "arping")
	h := newHost(t)
	h.MustVsctl("add-segment", "ha", "--subnet", "10.92.0.0/29")
	const vip = "10.92.0.5"
	attach := func(name string, flags ...string) *lab.Namespace {
		t.Helper()
		ns := lab.NewNamespace(t)
		h.MustVsctl(append([]string{"add-port", name, "--netns", ns.Name(), "--segment", "ha"}, flags...)...)
		return ns
	}
	node1, node2 := attach("node1", "--allow-address", vip), attach("node2", "--allow-address", vip)
	client := attach("client")
	take := func(ns *lab.Namespace) {
		t.Helper()
		ns.Run("ip", "address", "add", vip+"/29", "dev", "eth0")
		ns.Run("arping", "-c", "2", "-w", "1", "-U", "-I", "eth0", vip)
	}
	wantAnswers := func(when string, n int) {
		t.Helper()
		if r := lab.Ping(t, client, 3, vip, "-W", "2"); r.Received != n {
			t.Errorf("%s: %d of 3 answered, want %d:\n%s", when, r.Received, n, r.Output)
		}
	}
	take(node1)
	wantAnswers("node1 has it", 3)

	newcomer := attach("newcomer")
	if out := newcomer.Run("ip", "-4", "-o", "address", "show", "dev", "eth0"); !strings.Contains(out, "10.92.0.6/29") {
		t.Errorf("the newcomer has\n%s\nwant 10.92.0.6: %s is the nodes'", out, vip)
	}
	late := lab.NewNamespace(t).Name()
	for what, args := range map[string][]string{
		"address 10.92.0.5 is one that port \"node": {"add-port", "late", "--netns", late, "--segment", "ha", "--ip", vip},
		"or reserved (1)":                        {"add-port", "late", "--netns", late, "--segment", "ha"},
		"10.92.0.6 is that of port \"newcomer\"": {"set-port", "node1", "--allow-address", "10.92.0.6"},
		"10.92.0.1 is the gateway's":             {"set-port", "node1", "--allow-address", "10.92.0.1"},
	} {
		if status, out := h.Vsctl(args...); status != 1 || !strings.Contains(out, what) {
			t.Errorf("vsctl %q: status %d, %swant %q", args, status, out, what)
		}
	}
	wantAnswers("after a newcomer", 3)
	node1.Run("ip", "address", "del", vip+"/29", "dev", "eth0")
	wantAnswers("nobody has it", 0)
	take(node2)
	wantAnswers("node2 has it", 3)

	h.MustVsctl("del-port", "node1", "node2")
	h.MustVsctl("add-port", "late", "--netns", late, "--segment", "ha", "--ip", vip)
	wantAnswers("it is a port's own", 3)
}
