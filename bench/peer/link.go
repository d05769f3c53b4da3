package peer

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"vswitch/bench/load"
	"vswitch/internal/netns"
	"vswitch/test/lab"
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
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lab.LastLines(string(out)))
	}
	return nil
}
