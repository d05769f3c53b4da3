// Package docker tests the Docker drivers on a real engine: dockerd and vswitchd
// side by side in a network namespace that plays the host, containers of a busybox
// image, and the commands that people use. It asserts what a user would notice.
//
// Every test has an engine of its own, with a directory and a driver name of its
// own, so it may run beside other tests and beside a Docker of the machine's own.
// They need root; without it they are skipped.
package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vswitch/test/lab"
	"vswitch/test/lab/busybox"
)

// What all tests share: the directory of vswitchd and vsctl, and in it the image.
var (
	binaries string
	image    string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // all are skipped, and say so
	}
	dir, err := os.MkdirTemp("", "vswitch-docker-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries, image = dir, filepath.Join(dir, "busybox.tar")
	if err := errors.Join(lab.Build(dir), busybox.WriteImage(image, applets...)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return lab.Run(m)
}

// needDocker skips the test without root, and fails it without an engine.
func needDocker(t *testing.T) {
	t.Helper()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "dockerd", "docker", "busybox", "ip", "nsenter")
}

// applets are what the image's busybox is called as.
var applets = []string{"sh", "ping", "ip", "nc", "sleep", "cat", "arping"}
