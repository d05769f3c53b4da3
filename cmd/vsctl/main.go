// Command vsctl steers vswitchd: each of its commands is one or a few calls of the
// daemon's interface, printed for people, for scripts or as docker would.
//
// It holds no state, decides nothing that the daemon can decide, and touches
// neither the kernel's network nor files other than the daemon's socket.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
