package docker

import (
	"strings"
	"testing"
)

// TestPublishedPorts: docker run -p leads from the host to the container, without
// docker_gwbridge, and no longer than the container is there.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	h := newBlueHost(t, nil)
	h.docker("run", "-d", "--name", "web", "--network", "blue", "-p", "127.0.0.1:8080:80", "busybox:local",
		"nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "hello")
	says := func() string {
		out, _ := h.NS.Exec(t.Context(), "socat", "-u", "-T", "5", "TCP:127.0.0.1:8080", "STDOUT").Output() // nothing, where nobody listens
		return string(out)
	}
	h.Eventually("nc, which does not say so, listens behind the published port", func() bool {
		return strings.Contains(says(), "hello")
	})
	h.port("web") // so that Docker's names have been learnt
	if out := h.MustVsctl("list-published"); !strings.Contains(out, "web") || !strings.Contains(out, "127.0.0.1:8080") {
		t.Errorf("vsctl list-published:\n%s", out)
	}
	h.refused("choose another", "run", "-d", "--name", "second", "--network", "blue", "-p", "127.0.0.1:8080:80", "busybox:local", "sleep", "60")

	h.Harmed()
	h.KillCarrier()
	if out := says(); !strings.Contains(out, "hello") {
		t.Errorf("when the process that carries frames was replaced the port says %q", out)
	}
	h.docker("restart", "-t", "0", "web")
	h.Eventually("nc listens after a restart of the container", func() bool {
		return strings.Contains(says(), "hello")
	})

	h.docker("rm", "-f", "web", "second")
	if out := says(); out != "" {
		t.Errorf("after the container's end the port still says %q", out)
	}
	h.wantCleanEnd("blue")
}
