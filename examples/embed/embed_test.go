package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m, build) }

func build(dir string) error {
	return exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "embed"), ".").Run()
}

// TestEmbed: two containers whose interfaces the program has made reach each other, and the
// program ends in order and says what it has forwarded.
func TestEmbed(t *testing.T) {
	t.Parallel()
	host, names := lab.NewQuietNamespace(t), []string{"tap1", "tap2"}
	p, err := lab.StartProcess(lab.ProcessConfig{
		Namespace: host.Name(), Argv: append([]string{lab.Program("embed")}, names...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() }) // once more where the test has failed before
	if _, err := p.Await(t.Context(), 0, "ready"); err != nil {
		t.Fatal(err)
	}
	containers := []*lab.Namespace{lab.NewQuietNamespace(t), lab.NewQuietNamespace(t)}
	for i, c := range containers {
		host.Run("ip", "link", "set", names[i], "netns", c.Name())
		c.Run("ip", "address", "add", []string{"192.0.2.1/24", "192.0.2.2/24"}[i], "dev", names[i])
		c.Run("ip", "link", "set", names[i], "up")
	}
	for i, c := range containers {
		to := []string{"192.0.2.2", "192.0.2.1"}[i]
		if r := lab.Ping(t, c, 3, to); r.Received != 3 {
			t.Errorf("%d of 3 pings from %s come back, want all", r.Received, names[i])
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	for _, name := range names {
		if !strings.Contains(p.Output(), name+": ") || !strings.Contains(p.Output(), ", 0 dropped\n") {
			t.Errorf("the program says\n%s\nwant the frames of %s, none dropped", p.Output(), name)
		}
	}
}

// TestUsage: one interface has nobody to talk to.
func TestUsage(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), []string{"tap1"}); err == nil || !strings.Contains(err.Error(), "two or more") {
		t.Errorf("with one name: %v, want an error that asks for two", err)
	}
}
