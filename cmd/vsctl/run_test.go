package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vswitch/api"
	"vswitch/api/apitest"
	"vswitch/internal/control/controltest"
	"vswitch/internal/frame"
	"vswitch/switch/switchtest"
)

// vsctl runs vsctl on a socket and returns its exit status and output.
func vsctl(ctx context.Context, socket string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	getenv := func(name string) string { return map[string]string{socketVariable: socket}[name] }
	code = run(ctx, args, strings.NewReader(""), &out, &errs, getenv)
	return code, out.String(), errs.String()
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	socket := apitest.Serve(t, controltest.New(t))
	tests := map[string]string{ // the arguments, split at spaces, and what stderr says
		"nonsense":     `vsctl: unknown command "nonsense" for "vsctl": see "vsctl --help"`,
		"lst-ports":    `vsctl: unknown command "lst-ports" for "vsctl", did you mean list-ports: see "vsctl --help"`,
		"help nothing": `vsctl: help: unknown command "nothing" for "vsctl": see "vsctl help --help"`,
		"completion x": `vsctl: completion: unknown command "x" for "vsctl completion": see "vsctl completion --help"`,
		"--nonsense":   `vsctl: unknown flag: --nonsense: see "vsctl --help"`,
		"add-segment":  `vsctl: add-segment: want one NAME, got no arguments: see "vsctl add-segment --help"`,

		"add-segment a b":                  `want one NAME, got ["a" "b"]`,
		"add-segment a --mtu x":            `invalid argument "x" for "--mtu" flag`,
		"add-segment a --label k":          `want KEY=VALUE`,
		"add-segment a --label k-":         `want KEY=VALUE`,
		"add-port a":                       `no namespace to attach: give --netns or --pid`,
		"add-port a --netns c --pid 1":     `--netns and --pid exclude each other`,
		"add-port a --netns":               `flag needs an argument: --netns`,
		"del-port":                         `want at least one NAME, got no arguments`,
		"del-segment":                      `want at least one NAME, got no arguments`,
		"set-port a":                       `nothing to change: give --rename, --alias, --ip, --mac, --up, --down, --label or what the port may do`,
		"set-port a --security=":           `is empty: give a value`,
		"add-port a --netns c --mac-limit": `flag needs an argument: --mac-limit`,
		"deny":                             `want one SEGMENT, got no arguments`,
		"allow bridge --at x":              `invalid argument "x" for "--at" flag`,
		"deny bridge --from=":              `is empty: give a value`,
		"del-rule bridge":                  `want SEGMENT and at least one ID, got ["bridge"]`,
		"list-rules a b":                   `want at most one SEGMENT`,
		"set-port a --up --down":           `--up and --down exclude each other`,
		"set-port a --label k":             `want KEY=VALUE to set a label or KEY- to remove it`,
		"list-segments bridge":             `want no arguments, got ["bridge"]`,
		"list-ports a b":                   `want at most one SEGMENT`,
		"list-ports --format {{":           `unclosed action`,
		"list-ports --format {{nosuch}}":   `function "nosuch" not defined`,
		"list-ports --format yaml":         `want table, json or a Go template such as {{.Name}}`,
		"list-ports --format=":             `want table, json or a Go template`,
		"list-ports -q --format json":      `--quiet and --format json exclude each other`,
		"inspect":                          `want at least one SEGMENT, got no arguments`,
		"inspect bridge --format table":    `inspect has no table: use --format json or a Go template`,
		"add-fdb bridge 02:00:00:00:00:01": `want SEGMENT MAC PORT`,
		"list-ports --timeout 0s":          `--timeout 0s: want more than nothing, such as 30s`,
		"list-ports --timeout x":           `invalid argument "x" for "--timeout" flag`,
		"version x":                        `want no arguments`,
		"show x":                           `want no arguments`,
		"list-ports --format {{.ID}":       `bad character`,
	}
	for args, want := range tests {
		code, stdout, stderr := vsctl(context.Background(), socket, strings.Split(args, " ")...)
		if code != 2 || stdout != "" {
			t.Errorf("vsctl %s: exit status %d with %q, want 2 with nothing", args, code, stdout)
		}
		oneErrorLine(t, args, stderr, want)
	}
	if _, stdout, _ := vsctl(context.Background(), socket, "list-segments", "--format", "{{.Name}}"); stdout != "bridge\n" {
		t.Errorf("wrong usage has changed the switch: %q", stdout)
	}
}

// What a script's unset variable leaves empty must not stand for a default, such as
// the default segment, or for all there are.
func TestEmptyIsNoDefault(t *testing.T) {
	t.Parallel()
	b := controltest.New(t, "c")
	socket := apitest.Serve(t, b)
	vsctl(context.Background(), socket, "add-port", "a", "--netns", "c", "--security", "off")
	b.Send("a", switchtest.Frame(frame.Broadcast, switchtest.MAC(1), "hello"))
	for args, want := range map[string]string{ // '_' stands for nothing
		"list-ports _":                     `argument 1 is empty: want at most one SEGMENT: see "vsctl list-ports --help"`,
		"list-rules _":                     `argument 1 is empty`,
		"upgrade _":                        `argument 1 is empty: want at most one BINARY`,
		"publish a _":                      `argument 2 is empty: want PORT and`,
		"add-port b --netns c --segment _": `for "--segment" flag: is empty: give a value or leave the flag out`,
		"add-port b --netns _":             `for "--netns" flag: is empty`,
		"add-port b --netns c --ifname _":  `for "--ifname" flag: is empty`,
		"set-port a --rename _":            `for "--rename" flag: is empty`,
		"set-port a --mac _":               `for "--mac" flag: is empty`,
		"add-segment b --uplink _":         `for "--uplink" flag: is empty`,
		"set-segment bridge --rename _":    `for "--rename" flag: is empty`,
		"flush-fdb bridge --port _":        `for "--port" flag: is empty`,
		"--socket _ list-ports":            `for "--socket" flag: is empty`,
	} {
		split := strings.Split(args, " ")
		for i, arg := range split {
			split[i] = strings.TrimSuffix(arg, "_")
		}
		code, stdout, stderr := vsctl(context.Background(), socket, split...)
		if code != 2 || stdout != "" {
			t.Errorf("vsctl %s: exit status %d with %q, want 2 with nothing", args, code, stdout)
		}
		oneErrorLine(t, args, stderr, want)
	}
	if _, stdout, _ := vsctl(context.Background(), socket, "list-fdb", "--format", "{{.Port}} {{.Kind}}"); stdout != "a dynamic\ngateway own\na own\n" {
		t.Errorf("the forwarding table has %q, want the own entries and the learned one of port a", stdout)
	}
}

func oneErrorLine(t *testing.T, args, stderr, want string) {
	t.Helper()
	if !strings.HasPrefix(stderr, "vsctl: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") || strings.Contains(stderr, "\x1b") {
		t.Errorf("vsctl %s: stderr is not one line: %q", args, stderr)
	}
	if !strings.Contains(stderr, want) {
		t.Errorf("vsctl %s: got %q, want one with %q", args, stderr, want)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	socket := apitest.Serve(t, controltest.New(t))
	for args, want := range map[string]string{ // '_' in the last word stands for a space
		"add-segment bridge":                           `vsctl: add-segment: segment "bridge" already exists`,
		"add-segment a!":                               `vsctl: add-segment: segment name "a!": want 1 to 63`,
		"add-segment a --subnet 10.1.0.0":              `want an address and a prefix length, such as 10.1.0.0/24`,
		"add-segment a --subnet \x1b[31m":              `subnet "\x1b[31m"`,
		"add-port a --netns c --mac 02:42":             `mac "02:42"`,
		"add-port a --netns c --ip 1.2.3":              `"1.2.3"`,
		"add-segment a --subnet 10.1.0.5/24":           `has host bits set: want 10.1.0.0/24`,
		"add-segment a --mtu 20":                       `mtu 20: want 68 to 65521 bytes`,
		"add-port p --netns ..":                        `netns ".."`,
		"add-port p --pid -3":                          `pid -3: want 1 to 4194304`,
		"add-port a --netns c --security none":         `security "none": want strict, mac or off`,
		"add-port a --netns c --rate-in 100mb":         `rate in: rate "100mb": want a whole number with bit, kbit, mbit, gbit or tbit`,
		"add-port a --netns c --allow-address 10.1":    `allowed address "10.1": want an address or a network`,
		"add-port a --netns c --mac-limit -2":          `mac limit -2: want 1 to 16777216 addresses, 0 for the default, or -1 for no limit`,
		"add-port gateway --netns c":                   `vsctl: add-port: port name "gateway" is reserved for the segment's gateway in listings: choose another name`,
		"set-port a --rename gateway":                  `vsctl: set-port: port name "gateway" is reserved for the segment's gateway`,
		"set-port a --mac 02:42":                       `mac "02:42": want six bytes in hex`,
		"set-port a --mac 01:00:5e:00:00:01":           `is a group address: want a unicast one`,
		"set-port a --mac 00:00:00:00:00:00":           `belongs to nobody: want a unicast address`,
		"set-port a --flood-limit 2000000000":          `flood limit 2000000000: want 1 to 1000000000 frames per second`,
		"deny bridge --port 5-1":                       `ports "5-1": want the lower one first, 1-5`,
		"deny bridge --protocol gre":                   `protocol "gre": want tcp, udp, icmp or any`,
		"allow bridge --protocol icmp --port 1":        `ports "1" with protocol icmp`,
		"allow bridge --from ../x":                     `from port "../x"`,
		"del-rule bridge ..":                           `rule ".."`,
		"inspect ..":                                   `segment "..": want a name, an id or the beginning of an id`,
		"list-segments --format {{.Nme}}":              `the fields are ID, Name, Driver`,
		"list-segments --format {{join_.Name_\",\"}}":  `join wants a list, got string`,
		"list-segments --format {{index_.Labels_1_2}}": `error calling index`,
	} {
		split := strings.Split(args, " ")
		split[len(split)-1] = strings.ReplaceAll(split[len(split)-1], "_", " ")
		code, _, stderr := vsctl(context.Background(), socket, split...)
		if code != 1 {
			t.Errorf("vsctl %s: exit status %d, want 1", args, code)
		}
		oneErrorLine(t, args, stderr, want)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	root := (&app{}).rootCommand(defaultSocket)
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"completion"}} {
		if code, stdout, stderr := vsctl(context.Background(), "/nonexistent/s", args...); code != 0 || !strings.Contains(stdout, "Usage:") || stderr != "" {
			t.Errorf("vsctl %q: exit status %d, %q", args, code, stderr)
		}
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		for _, args := range [][]string{{cmd.Name(), "--help"}, {"help", cmd.Name()}} {
			code, stdout, _ := vsctl(context.Background(), "/nonexistent/s", args...)
			if code != 0 || !strings.Contains(stdout, "Examples:\n  vsctl "+cmd.Name()) {
				t.Errorf("vsctl %q: exit status %d, %s", args, code, stdout)
			}
		}
		if cmd.Short == "" || cmd.Long == "" || cmd.GroupID == "" || cmd.ValidArgsFunction == nil {
			t.Errorf("%s lacks a description, a group or completion", cmd.Name())
		}
	}
}

func TestTemplatesOfTheExamples(t *testing.T) {
	t.Parallel()
	templates := regexp.MustCompile(`--format '([^']*)'`)
	n := 0
	for _, cmd := range (&app{}).rootCommand(defaultSocket).Commands() {
		for _, m := range templates.FindAllStringSubmatch(cmd.Example, -1) {
			n++
			if err := new(format).Set(m[1]); err != nil {
				t.Errorf("%s: %v", cmd.Name(), err)
			}
		}
	}
	if n == 0 {
		t.Error("no example has a template")
	}
}

func TestEscapesInTemplates(t *testing.T) {
	t.Parallel()
	socket := apitest.Serve(t, controltest.New(t))
	for text, want := range map[string]string{
		`{{.Name}}\t{{.MTU}}\n.`:      "bridge\t1500\n.\n",
		`{{.Name}}{{"\n\t"}}{{.MTU}}`: "bridge\n\t1500\n",
		`{{.Name}}{{len "\\n"}}`:      "bridge2\n",
	} {
		if code, stdout, stderr := vsctl(context.Background(), socket, "list-segments", "--format", text); code != 0 || stdout != want {
			t.Errorf("--format %s: exit status %d, %q, %q; want %q", text, code, stdout, stderr, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	socket := apitest.Socket(t)
	want := "vsctl: cannot reach vswitchd on " + socket + ": no such file or directory: start it with \"vswitchd\" or name its socket with --socket\n"
	for _, args := range [][]string{{"list-ports"}, {"del-port", "a", "b"}, {"inspect", "a", "b"}, {"show"}} {
		if code, stdout, stderr := vsctl(context.Background(), socket, args...); code != 1 || stdout != "" || stderr != want {
			t.Errorf("vsctl %q: exit status %d, %q, %q, want %q", args, code, stdout, stderr, want)
		}
	}
	code, stdout, stderr := vsctl(context.Background(), socket, "version")
	if code != 1 || !strings.HasPrefix(stdout, "Client:\n") || strings.Contains(stdout, "Server") || stderr != want {
		t.Errorf("version: exit status %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr := vsctl(context.Background(), "/elsewhere", "--socket", socket, "show"); code != 1 || stderr != want {
		t.Errorf("--socket does not win over $%s: %q", socketVariable, stderr)
	}
	denied := &api.UnreachableError{Socket: "s", Err: os.ErrPermission}
	if got := remedy(denied); !strings.Contains(got, "root") {
		t.Errorf("permission denied: got %q", got)
	}
}

// TestReasonsThatDroppedNothing are left out, and the others come with the most frames first.
func TestReasonsThatDroppedNothing(t *testing.T) {
	t.Parallel()
	got := reasons(map[string]uint64{"runt": 1, "cross-segment": 3, "giant": 0}, nil)
	if want := "cross-segment 3, runt 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// silent is a backend that removes no port, and says nothing.
type silent struct {
	api.Backend
	entered chan struct{} // sent to when a port is to be removed
}

func (b silent) DeletePort(ctx context.Context, _ string) (api.Port, error) {
	b.entered <- struct{}{}
	<-ctx.Done()
	return api.Port{}, ctx.Err()
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	b := silent{entered: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-b.entered; cancel() }()
	code, stdout, stderr := vsctl(ctx, apitest.Serve(t, b), "del-port", "a", "b")
	if code != 1 || stdout != "" || stderr != "vsctl: del-port: interrupted\n" {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
}

// A server that answers anything but the interface ends in one line and status 1.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	const isJSON = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"
	for name, test := range map[string]struct {
		answer string
		hang   bool
		want   string
	}{
		"garbage":  {"\x00\x1b[31m\r\n\r\n", false, "asking vswitchd on"},
		"web page": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n<html>", false, "instead of JSON"},
		"escapes":  {"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: application/problem+json\r\n\r\n{\"detail\":\"a\\u001b[31m\\nb\"}", false, "a?[31m b"},
		"silence":  {"", true, "did not answer within 50ms"},
		"half":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n[", true, "did not answer within 50ms"},
		"shape":    {isJSON + `{"a":1}`, false, "JSON of another shape"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := serveRaw(t, test.answer, test.hang)
			timeout := "1h"
			if test.hang {
				timeout = "50ms"
			}
			code, stdout, stderr := vsctl(context.Background(), socket, "list-ports", "--timeout", timeout)
			if code != 1 || stdout != "" {
				t.Errorf("exit status %d with %q", code, stdout)
			}
			oneErrorLine(t, "list-ports", stderr, test.want)
		})
	}
	t.Run("names that steer a terminal", func(t *testing.T) {
		t.Parallel()
		socket := serveRaw(t, isJSON+`[{"name":"\u001b[2Ja\tb\nc"}]`, false)
		if _, stdout, _ := vsctl(t.Context(), socket, "list-ports", "--format", "{{.Name}} {{.}}"); strings.ContainsAny(stdout, "\x1b\t") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("a template prints %q", stdout)
		}
		if code, stdout, _ := vsctl(context.Background(), socket, "list-ports"); code != 0 || strings.ContainsAny(stdout, "\x1b\t") || strings.Count(stdout, "\n") != 2 {
			t.Errorf("exit status %d with %q", code, stdout)
		}
	})
}

// serveRaw sends answer to whoever connects, and hangs or closes the connection.
func serveRaw(t *testing.T, answer string, hang bool) string {
	t.Helper()
	return apitest.ServeRaw(t, func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			_, _ = io.WriteString(c, answer)
		}
		if hang {
			_, _ = io.Copy(io.Discard, c) // until the client gives up
		}
	})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	socket := apitest.Serve(t, controltest.New(t))
	for _, args := range []string{"list-segments", "list-segments -q", "show", "inspect bridge", "version", "add-segment new", "del-segment new"} {
		var stderr bytes.Buffer
		getenv := func(string) string { return socket }
		code := run(context.Background(), strings.Split(args, " "), strings.NewReader(""), fullDisk{}, &stderr, getenv)
		if code != 1 {
			t.Errorf("vsctl %s: exit status %d, want 1", args, code)
		}
		oneErrorLine(t, args, stderr.String(), "no space left on device")
	}
}

// A relative path means what it means where vsctl runs.
func TestRelativePathOfANamespace(t *testing.T) {
	t.Parallel()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	socket := apitest.Serve(t, controltest.New(t, at("ns/c1"), at("c1"), at("../c1")))
	for i, path := range []string{"ns/c1", "./c1", "../c1"} {
		name := fmt.Sprintf("p%d", i)
		if code, _, stderr := vsctl(t.Context(), socket, "add-port", name, "--netns", path); code != 0 {
			t.Fatalf("--netns %s: exit status %d, %s", path, code, stderr)
		}
		_, shown, _ := vsctl(t.Context(), socket, "list-ports", "--format", `{{if eq .Name "`+name+`"}}{{.NetNS}}{{end}}`)
		if got, want := strings.TrimSpace(shown), at(path); got != want {
			t.Errorf("--netns %s is %q, want %q", path, got, want)
		}
	}
}
