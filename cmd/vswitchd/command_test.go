package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vswitch/api"
)

// execute runs vswitchd with flags that must not let it start.
func execute(args ...string) error {
	c := command()
	c.SetArgs(args)
	c.SetOut(new(bytes.Buffer))
	c.SetErr(new(bytes.Buffer))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return c.ExecuteContext(ctx)
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"serve":                    `unexpected argument "serve"`,
		"--nonsense":               "unknown flag: --nonsense",
		"--poll fast":              `--poll "fast" is unknown: give adaptive, busy or sleep`,
		"--io epoll":               `--io "epoll" is unknown: give auto, plain, ring or ring-fixed`,
		"--workers -1":             "--workers -1 is out of range",
		"--workers 100000":         "--workers 100000 is out of range",
		"--spin 1h":                "--spin 1h0m0s is out of range",
		"--ageing 1ms":             "--ageing 1ms is out of range",
		"--fdb-size 0":             "--fdb-size 0 is out of range",
		"--log-level loud":         `--log-level "loud" is unknown`,
		"--log-format xml":         `--log-format "xml" is unknown`,
		"--default-address-pool x": "--default-address-pool",
		"--sysctl-dir /none":       `--sysctl-dir "/none": stat /none/net/ipv4: no such file or directory: give where`,
		"--sysctl-dir=":            `--sysctl-dir ""`,
		"--docker-host tcp://x":    `--docker-host "tcp://x": give a unix socket`,
		"--docker-host unix://":    `--docker-host "unix://"`,
	} {
		err := execute(strings.Fields(args)...)
		if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("vswitchd %s: %v, want wrong usage with %q", args, err, want)
		} else if exitStatus(err) != 2 {
			t.Errorf("vswitchd %s: exit status %d, want 2", args, exitStatus(err))
		}
	}
}

// Each socket's own flag is named where something else is in its place.
func TestSocketThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--socket: ":        {"--socket", file},
		"--docker-socket: ": {"--socket", filepath.Join(dir, "s"), "--docker", "--docker-socket", file},
	} {
		err := execute(args...)
		if want += file + " exists and is not a socket: remove it or choose another path"; err == nil || err.Error() != want || exitStatus(err) != 1 {
			t.Errorf("vswitchd %q: %v, want %q and exit status 1", args, err, want)
		}
	}
}

// A switch that runs has its state, which --restore must not touch.
func TestNothingIsRestoredBesideAnotherDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	backup, socket, state := filepath.Join(dir, "backup"), filepath.Join(dir, "s"), filepath.Join(dir, "state")
	if err := os.WriteFile(backup, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := execute("--socket", socket, "--state-dir", state, "--restore", backup); err == nil || !strings.Contains(err.Error(), "another vswitchd is already serving") {
		t.Errorf("restore beside another daemon: %v", err)
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory is there: %v", err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := command()
	c.SetArgs([]string{"--version"})
	c.SetOut(&out)
	if err := c.Execute(); err != nil || out.String() != "vswitchd version "+api.BuildVersion(version).Version+"\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vswitchd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	o, c := newCommand()
	path := configFile(t, `
poll = "busy"
workers = 1
ageing = "10s"
default-address-pool = ["base=10.0.0.0/16,size=24", "base=10.1.0.0/16,size=24"]
`)
	if err := c.ParseFlags([]string{"--config", path, "--poll", "sleep"}); err != nil {
		t.Fatal(err)
	}
	if err := applyConfig(c, o.config); err != nil {
		t.Fatal(err)
	}
	f := o.flags
	if f.Poll != "sleep" || f.Workers != 1 || f.Ageing != 10*time.Second || len(f.Pools) != 2 {
		t.Errorf("flags are %+v, want those of the file but --poll, which the command line has", f)
	}
}

func TestConfigFileErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"pol = 'busy'":    `"pol" is not a flag of vswitchd`,
		"config = 'x'":    `"config" is not a flag of vswitchd`,
		"workers = 'two'": "workers = two",
		"poll = ":         "--config",

		"poll = ['busy', 'sleep']": "poll is given 2 times: want it once",
		"workers = []":             "workers is given 0 times: want it once",
	} {
		path := configFile(t, text)
		err := execute("--config", path)
		if err == nil || !strings.Contains(err.Error(), want) || exitStatus(err) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q and exit status 1", text, err, want)
		}
	}
	if err := execute("--config", "/nonexistent/file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
