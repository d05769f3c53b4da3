// Package docker tests the Docker drivers on a real engine: dockerd and vswitchd
// side by side in a network namespace that plays the host, containers of a busybox
// image, and the commands that people use. It asserts what a user would notice.
//
// Every test has an engine of its own, with a directory and a driver name of its
// own, so it may run beside other tests and beside a Docker of the machine's own.
// They need root; without it they are skipped.
package docker

import (
	"path/filepath"
	"testing"

	"vswitch/test/lab"
	"vswitch/test/lab/busybox"
)

func TestMain(m *testing.M) {
	lab.Main(m, lab.Build, func(dir string) error {
		return busybox.WriteImage(filepath.Join(dir, image), applets...)
	})
}

// image is the file of the containers' image; see [lab.Program].
const image = "busybox.tar"

// needDocker skips the test without root, and fails it without an engine.
func needDocker(t *testing.T) {
	t.Helper()
	lab.RequireRoot(t)
	lab.RequireCommand(t, "dockerd", "docker", "busybox", "ip", "nsenter")
}

// applets are what the image's busybox is called as.
var applets = []string{"sh", "ping", "ip", "nc", "sleep", "cat", "arping"}
