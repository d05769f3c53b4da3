package supervise

import (
	"fmt"
	"os"
	"path/filepath"
)

// Child is what a process got from whoever started it, be it [Run], systemd or a
// shell. In a process that got nothing all of it is there and does nothing.
type Child struct {
	// Files are the descriptors that were handed over.
	Files *Files
	// Notify tells whoever started the process how it is.
	Notify *Notifier
	// Control asks the supervisor for more than systemd could do.
	Control *Control
	// Supervised says that [Run] started this process.
	Supervised bool

	socket []int // what the path of Notify's socket goes by
}

// Inherited takes what the process was given: it reads the variables of
// sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), removes them from
// the environment and makes the descriptors close on exec, so that neither
// reaches the process's own children. Call it once, early, and before the process
// opens anything that may be mistaken for an inherited descriptor.
//
// Variables that were meant for another process are ignored; wrong ones, or a
// descriptor that is not open, are an error.
func Inherited() (*Child, error) {
	e, err := parseEnvironment(os.Getenv, os.Getpid(), os.Getppid())
	for _, name := range protocolVariables() {
		os.Unsetenv(name)
	}
	if err != nil {
		return nil, fmt.Errorf("inherit descriptors: %w", err)
	}
	files, err := inheritFiles(e.names)
	if err != nil {
		return nil, fmt.Errorf("inherit descriptors: %w", err)
	}
	c := &Child{
		Files:      files,
		Notify:     &Notifier{socket: e.socket, interval: e.watchdog, confirms: e.supervised},
		Supervised: e.supervised,
		socket:     files.Take(notifyName),
	}
	if c.Control, err = newControl(e, files); err != nil {
		return nil, fmt.Errorf("inherit the supervisor's socket: %w", err)
	}
	if e.supervised {
		nameProcess()
	}
	return c, nil
}

// nameProcess gives the process back the name that ps(1) and pgrep(1) look for:
// it was executed as /proc/PID/fd/N, and the kernel named it N (comm, proc(5)).
// Without /proc the name stays wrong, which harms nothing.
func nameProcess() {
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
}

// Close frees the descriptors that were not taken and ends the talk with the
// supervisor.
func (c *Child) Close() {
	c.Control.close()
	c.Files.Close()
	closeAll(c.socket)
}
