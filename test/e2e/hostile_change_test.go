package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/api"
	"vswitch/internal/wellformed"
	"vswitch/test/lab"
)

// changes are what a container may do to its interface, by a name for the port. NEW is another
// name for the interface.
var changes = map[string][]string{
	"plain":      nil,
	"escape":     {"ip link set eth0 name NEW"},
	"not-utf8":   {"ip link set eth0 name NEW"},
	"separator":  {"ip link set eth0 name NEW"},
	"quote":      {"ip link set eth0 name NEW"},
	"as-lo":      {"ip link set lo down", "ip link set lo name lo9", "ip link set eth0 down", "ip link set eth0 name lo"},
	"mac":        {"ip link set eth0 address 02:00:00:00:00:99"},
	"mac-gw":     {"ip link set eth0 address 02:42:ac:11:00:01"},
	"mtu":        {"ip link set eth0 mtu 68"},
	"mtu-big":    {"ip link set eth0 mtu 65521"},
	"down":       {"ip link set eth0 down"},
	"no-address": {"ip address flush dev eth0"},
	"alias":      {"ip link set eth0 alias NEW"},
	"altname":    {"ip link property add dev eth0 altname NEW"},
	"queue":      {"ip link set eth0 txqueuelen 50000"},
	"no-queue":   {"ip link set eth0 txqueuelen 0"},
	"group":      {"ip link set eth0 group 77", "ip link set eth0 arp off", "ip link set eth0 multicast off"},
	"bridged":    {"ip link add br0 type bridge", "ip link set eth0 master br0", "ip link set br0 up"},
	"qdisc":      {"tc qdisc replace dev eth0 root pfifo limit 7"},
	"deleted":    {"ip link delete eth0"},
	"moved":      {"ip link set eth0 netns INNER"},
	"moved-name": {"ip link set eth0 name NEW", "ip link set dev NEW netns INNER"},
}

// newNames are the names of interfaces that the kernel takes (dev_valid_name, net/core/dev.c).
var newNames = map[string]string{
	"escape": "\x1b[31m\x07", "not-utf8": "eth\xff\xfe", "separator": "e\u2028h", "quote": `"'{{.ID}}\`,
	"alias": "\x1b[31malias", "altname": "\x1b[31malt", "moved-name": "\x1b]0;x\x07",
}

// changed attaches a container that then changes its interface.
func (h *host) changed(name string, commands []string) *lab.Container {
	h.Helper()
	c := h.Attach(name)
	inner := lab.NewQuietNamespace(h)
	for _, command := range commands {
		args := strings.Fields(command)
		for i, arg := range args {
			switch arg {
			case "NEW":
				args[i] = newNames[name]
			case "INNER":
				args[i] = inner.Name()
			}
		}
		c.Run(args...)
	}
	return c
}

// verbs are the changes that an operator makes to a port, whatever has become of it.
func verbs(port string, round int) [][]string {
	n := fmt.Sprint(round)
	host := fmt.Sprint(20000 + round)
	return [][]string{
		{"set-port", port, "--label", "round=" + n},
		{"set-port", port, "--alias", "www" + n, "--isolated=" + fmt.Sprint(round%2 == 0)},
		{"set-port", port, "--rate-in", n + "mbit", "--mac-limit", n, "--flood-limit", n + "000"},
		{"set-port", port, "--security", []string{"off", "mac", "strict"}[round%3], "--allow-address", "10.9." + n + ".0/24"},
		{"set-port", port, "--down"},
		{"set-port", port, "--up"},
		{"set-port", port, "--rename", port + "-x"},
		{"set-port", port + "-x", "--rename", port},
		{"publish", port, host + ":80"},
		{"unpublish", port, host + ":80"},
		{"deny", "bridge", "--from", port, "--to", "any"},
		{"stats", port},
	}
}

// readers show all ports.
var readers = [][]string{
	{"list-ports"},
	{"list-ports", "--format", "{{.Name}} {{.IfName}} {{.NetNS}} {{.Reason}} {{.}}"},
	{"list-ports", "--format", "{{json .IfName}}"},
	{"list-ports", "--format", "json"},
	{"show"},
	{"list-arp"},
	{"list-fdb"},
	{"inspect", "bridge"},
}

// succeedsCleanly wants vsctl to succeed, and to print nothing that a terminal may obey.
func (h *host) succeedsCleanly(when string, args ...string) {
	h.Helper()
	status, out := h.Vsctl(args...)
	if status != 0 {
		h.Errorf("%s: vsctl %q: exit status %d: %s", when, args, status, out)
	}
	if !isClean(out) {
		h.Errorf("%s: vsctl %q prints %q", when, args, out)
	}
}

func isClean(lines string) bool { return wellformed.Printable(strings.ReplaceAll(lines, "\n", "")) }

// TestEveryVerbAfterEveryChange: nothing that a container does to its interface keeps its port
// from being changed, across restarts, or writes to the operator's terminal.
func TestEveryVerbAfterEveryChange(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "tc")
	h := newHost(t)
	containers := map[string]*lab.Container{}
	for name, commands := range changes {
		containers[name] = h.changed(name, commands)
	}
	h.hasState("plain", api.PortUp)
	lost := []string{"deleted"}
	round := 0
	tryAll := func(when string) {
		t.Helper()
		for name := range changes {
			round++
			all := verbs(name, round)
			if !slices.Contains(lost, name) {
				mac := fmt.Sprintf("02:00:00:00:02:%02x", round)
				entry := fmt.Sprintf("02:00:00:00:03:%02x", round)
				all = append(all, []string{"set-port", name, "--mac", mac},
					[]string{"add-fdb", "bridge", entry, name}, []string{"del-fdb", "bridge", entry})
			}
			for _, args := range all {
				h.succeedsCleanly(when, args...)
			}
			if id := strings.Fields(h.MustVsctl("list-rules", "bridge", "--format", "{{.ID}}")); len(id) == 1 {
				h.MustVsctl("del-rule", "bridge", id[0])
			}
		}
		for _, args := range readers {
			h.succeedsCleanly(when, args...)
		}
	}
	checkNames := func(when string, remade ...string) {
		t.Helper()
		for name, new := range newNames {
			if name == "alias" || name == "altname" || slices.Contains(remade, name) {
				continue
			}
			if p := h.Port(name); p.IfName != wellformed.Clean(new) {
				t.Errorf("%s: port %s shows its interface as %q, want %q", when, name, p.IfName, wellformed.Clean(new))
			}
		}
	}
	tryAll("at once")
	checkNames("at once")
	h.Harmed() // the process dies
	h.KillCarrier()
	tryAll("after the process has died")
	checkNames("after the process has died")
	h.MustVsctl("upgrade")
	tryAll("after an upgrade")
	h.Kill()
	h.Start()
	h.Harmed()
	tryAll("after a restart")
	for _, name := range []string{"plain", "escape", "not-utf8", "separator", "quote", "altname", "alias", "queue", "group", "qdisc"} {
		if p := h.Port(name); p.State != api.PortUp {
			t.Errorf("port %s is %s, %s", name, p.State, p.Reason)
		}
	}
	checkNames("after a restart", "moved-name") // which nothing leads to any more
	if !isClean(h.Daemon.Output()) {
		t.Error("the log has control characters in it")
	}
	for name, c := range containers {
		h.MustVsctl("del-port", name)
		if links := c.Links(); slices.Contains(links, "eth0") {
			t.Errorf("%s: the interface is left behind: %q", name, links)
		}
	}
}

// TestQueueOfAContainerIsSetBack: what waits in it is the host's memory.
func TestQueueOfAContainerIsSetBack(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := h.Attach("c")
	queue := func() string {
		fields := strings.Fields(c.Run("ip", "link", "show", "dev", "eth0"))
		return fields[slices.Index(fields, "qlen")+1]
	}
	h.LogAfter(func() { c.Run("ip", "link", "set", "eth0", "txqueuelen", "50000") },
		"level=WARN", "length of the interface's queue", "port=c", "from=50000", "to=1000")
	if n := queue(); n != "1000" {
		t.Errorf("the queue has %s frames", n)
	}
	h.Stop()
	c.Run("ip", "link", "set", "eth0", "txqueuelen", "40000")
	h.Start()
	h.AwaitLog(0, "length of the interface's queue", "from=40000")
	if n := queue(); n != "1000" {
		t.Errorf("the queue has %s frames after a restart", n)
	}
}

// loops are what a container may do to its interface A again and again, which is B after it. OUTER
// and INNER are the container's two namespaces.
var loops = map[string]string{
	"name and MAC": `ip link set dev $A name $B; ip link set dev $B address $MAC`,
	"namespace, name and MAC": `ip link set dev $A netns INNER; ip -n INNER link set dev $A name $B up address $MAC; ` +
		`ip -n INNER link set dev $B netns OUTER; ip link set dev $B up`,
}

// startLoop has the container do that again and again, and returns the interface's name after it.
func startLoop(c *lab.Container, commands string) (loop *lab.TestProcess, last string) {
	c.Helper()
	commands = strings.NewReplacer("INNER", lab.NewQuietNamespace(c).Name(), "OUTER", c.Name()).Replace(commands)
	script := "set -e\nB=eth0\n"
	for i := range 150 {
		last = fmt.Sprint("eth", 1+i%7)
		script += fmt.Sprintf("A=$B; B=%s; MAC=02:00:00:00:01:%02x; %s\n", last, i, commands)
	}
	return c.Start("sh", "-c", script), last
}

// TestContainerThatChangesItsInterfaceInALoop: the log and the disk see little of it, and the
// operator's changes of another port meanwhile have nothing else to wait for there.
func TestContainerThatChangesItsInterfaceInALoop(t *testing.T) {
	t.Parallel()
	const kinds, burst, every = 3, 10, 10 * time.Second // of lines: name, MAC, up or down
	for name, commands := range loops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			c := h.Attach("hostile")
			h.Attach("other")
			trace, end := h.strace(h.Carrier(), []string{"-e", "trace=fdatasync"}, h.stateFile())
			from, began := h.Daemon.Lines(), time.Now()
			loop, last := startLoop(c, commands)
			changes := 0
			for ; loop.Err() == nil; changes++ {
				isolated := changes%2 == 0
				if _, err := h.Client.UpdatePort(t.Context(), "other", api.PortUpdate{Isolated: &isolated}); err != nil {
					t.Fatal(err)
				}
			}
			if code := loop.AwaitExit(); code != 0 {
				t.Fatalf("the loop ended with exit status %d: %s", code, loop.Output())
			}
			h.Eventually("the interface is shown by its last name", func() bool { return h.Port("hostile").IfName == last })
			end()
			turns := 1 + int(time.Since(began)/every) // of a line of a kind, and of a name to be stored
			log := strings.Join(strings.Split(h.Daemon.Output(), "\n")[from:], "\n")
			if n, most := strings.Count(log, "port=hostile"), kinds*(burst+turns); n > most {
				t.Errorf("the log has %d lines about it, want %d at most", n, most)
			}
			// Each change is two flushes, as is each time that a name is stored.
			if n, most := h.flushes(trace)-2*changes, 2*(1+turns); n > most {
				t.Errorf("beside %d changes the state was flushed %d times, want %d at most", changes, n, most)
			}
		})
	}
}
