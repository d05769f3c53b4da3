package supervise

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// What the timeouts of [Options] are when they are 0.
const (
	DefaultStartTimeout = 30 * time.Second
	DefaultStopTimeout  = 15 * time.Second
)

// Options say what [Run] runs. The zero value runs the running program without
// arguments.
type Options struct {
	// Binary is the path of the child's program; empty: the running program's.
	Binary string
	// Args are the child's arguments without the program's name.
	Args []string
	// Env is the child's environment as "NAME=value"; nil: the parent's own. The
	// variables of this package's protocol are left out and set anew.
	Env []string
	// Files are handed to each child under their names, until one drops them
	// ([Notifier.Drop]). They stay the caller's, who may close them as soon as Run
	// has returned; Run does not change their O_NONBLOCK.
	Files map[string]*os.File
	// Stored are descriptors that the parent itself was handed by systemd. Run
	// takes all of them and hands them to each child, as if a child had them kept.
	Stored *Files
	// Notify is the parent's own; nil: nobody is told. Run says through it when the
	// child is ready, and its status, and answers the watchdog for as long as the
	// parent itself works. What the child keeps is kept there too.
	Notify *Notifier
	// Upgrade has the child replaced by what stands at its program's path then.
	Upgrade <-chan struct{}
	// Log is where restarts and upgrades are told; nil: [slog.Default].
	Log *slog.Logger
	// StartTimeout is how long a child may take to be ready, and one that shall
	// replace another to come up before that.
	StartTimeout time.Duration
	// StopTimeout is how long a child may take to end after SIGTERM, or to make room
	// for another.
	StopTimeout time.Duration
	// Watchdog is how long a ready child may be silent before it is killed and
	// started again; 0: forever.
	Watchdog time.Duration
}

func (o Options) withDefaults() (Options, error) {
	for _, t := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"StartTimeout", &o.StartTimeout, DefaultStartTimeout},
		{"StopTimeout", &o.StopTimeout, DefaultStopTimeout},
		{"Watchdog", &o.Watchdog, 0},
	} {
		if *t.value < 0 {
			return o, fmt.Errorf("%s is %v: give a positive time, or 0 for %v", t.name, *t.value, t.fallback)
		}
		if *t.value == 0 {
			*t.value = t.fallback
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Files)) {
		if err := checkName(name); err != nil {
			return o, err
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	return o, nil
}

// environment is what a child is told: its environment, and in it where to notify,
// the names of its descriptors and the last upgrades.
func (o Options) environment(socket string, names []string, past history, standby bool) []string {
	env := slices.DeleteFunc(slices.Clone(o.Env), func(assignment string) bool {
		name, _, _ := strings.Cut(assignment, "=")
		return slices.Contains(protocolVariables(), name)
	})
	set := func(name string, value any) { env = append(env, fmt.Sprintf("%s=%v", name, value)) }
	set(envSupervisor, os.Getpid())
	set(envNotifySocket, socket)
	set(envListenFDs, len(names))
	set(envListenNames, strings.Join(names, ":"))
	set(envUpgrades, past)
	if o.Watchdog > 0 {
		set(envWatchdog, max(1, o.Watchdog.Microseconds()))
	}
	if standby {
		set(envStandby, 1)
	}
	return env
}
