package docker

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vswitch/test/lab"
)

// The compose file that users are shown.
func TestComposeExample(t *testing.T) {
	t.Parallel()
	lab.RequireCommand(t, "docker-compose")
	h := newHost(t)
	h.compose("up", "-d")
	for _, pair := range [][2]string{{"web", "app"}, {"app", "web"}, {"app", "db"}, {"db", "app"}} {
		if out, err := h.tryCompose("exec", "-T", pair[0], "ping", "-c", "3", "-W", "2", pair[1]); err != nil || !strings.Contains(out, ", 0% packet loss") {
			t.Errorf("from %s to %s: %v: %s", pair[0], pair[1], err, out)
		}
	}
	if out, err := h.tryCompose("exec", "-T", "web", "ping", "-c", "1", "-W", "1", "db"); err == nil || !strings.Contains(out, "bad address") {
		t.Errorf("web knows db, which is not on its network: %v: %s", err, out)
	}
	if out, err := h.tryCompose("exec", "-T", "web", "ping", "-c", "1", "-W", "1", "10.80.0.10"); err == nil || !strings.Contains(out, "100% packet loss") {
		t.Errorf("web reaches db's address: %v: %s", err, out)
	}
	db := h.compose("exec", "-T", "db", "ip", "addr", "show", "eth0") + h.compose("exec", "-T", "db", "ip", "route")
	if !strings.Contains(db, "10.80.0.10/24") || !strings.Contains(db, "mtu 9000") || strings.Contains(db, "default") {
		t.Errorf("db has not what the file says:\n%s", db)
	}
	h.compose("down", "-t", "0")
	h.wantNothingLeft()
}

// tryCompose runs docker-compose on the example and returns all that it has printed.
func (h *host) tryCompose(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, "docker-compose", append([]string{"-p", "example", "-f", "../../examples/compose.yaml"}, args...)...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+h.engine(), "IMAGE=busybox:local", "DRIVER="+h.driver)
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// compose is tryCompose that must succeed.
func (h *host) compose(args ...string) string {
	h.Helper()
	out, err := h.tryCompose(args...)
	if err != nil {
		h.Fatalf("docker-compose %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}
