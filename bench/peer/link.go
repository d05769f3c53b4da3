package peer

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"vswitch/bench/load"
	"vswitch/internal/netns"
)

// adopt moves the link hostName from the namespace host to an endpoint and sets it up there.
func adopt(host, hostName string, e load.Endpoint) error {
	return load.InNamespace(host, func(ns *netns.Namespace) error {
		return ns.Do(func() error { return e.AdoptLink(hostName, 0) })
	})
}

// linkExists reports whether a namespace has a link of this name.
func linkExists(namespace, name string) (there bool, err error) {
	err = load.InNamespace(namespace, func(ns *netns.Namespace) error {
		there, err = ns.LinkExists(name)
		return err
	})
	return there, err
}

// ipBatch runs commands of ip(8) in a namespace, "" being the current one, with
// one process for all of them.
func ipBatch(namespace string, commands ...string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-netns", namespace}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	return runQuietly(cmd)
}

// runQuietly runs cmd; what it prints becomes part of the error, if there is one.
func runQuietly(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, LastLines(out))
	}
	return nil
}

// LastLines returns the end of a program's output as one line, for an error.
func LastLines(out []byte) string {
	const most = 400
	out = bytes.TrimSpace(out)
	if len(out) > most {
		out = append([]byte("…"), out[len(out)-most:]...)
	}
	if len(out) == 0 {
		return "no output"
	}
	return strings.ReplaceAll(string(out), "\n", "; ")
}
