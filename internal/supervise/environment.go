package supervise

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Variables of sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), and ours.
const (
	envListenPID    = "LISTEN_PID"
	envListenFDs    = "LISTEN_FDS"
	envListenNames  = "LISTEN_FDNAMES"
	envNotifySocket = "NOTIFY_SOCKET"
	envWatchdog     = "WATCHDOG_USEC"
	envWatchdogPID  = "WATCHDOG_PID"

	// envSupervisor is the process number of the supervisor. It stands in for
	// LISTEN_PID and WATCHDOG_PID: a Go program cannot put the child's own number
	// into the child's environment, since it is known only after the fork.
	envSupervisor = "VSWITCH_SUPERVISOR"
	// envUpgrades is a history as JSON. A supervisor that does not set it does not tell what came
	// of upgrades either.
	envUpgrades = "VSWITCH_UPGRADES"
	// envStandby is 1 in a child that waits until it may replace another.
	envStandby = "VSWITCH_STANDBY"
)

const (
	// firstFD is SD_LISTEN_FDS_START.
	firstFD = 3
	// maxFDs is the kernel's usual bound for one process (fs.nr_open).
	maxFDs = 1 << 20
)

// protocolVariables are all that steer this talk. They are for one process only,
// so neither side lets its own children see them.
func protocolVariables() []string {
	return []string{
		envListenPID, "LISTEN_PIDFDID", envListenFDs, envListenNames,
		envNotifySocket, envWatchdog, envWatchdogPID, envSupervisor, envUpgrades, envStandby,
	}
}

// environment is what a process was told by whoever started it.
type environment struct {
	names      []string // of the descriptors from firstFD on
	socket     string   // to notify; empty: nobody listens
	watchdog   time.Duration
	supervised bool // by this package's parent
	standby    bool
	past       history
	tellsPast  bool // the supervisor tells what came of upgrades
}

// parseEnvironment reads the variables that get gives, for the process self with
// the given parent. What is meant for another process counts as not there.
func parseEnvironment(get func(string) string, self, parent int) (environment, error) {
	supervisor := get(envSupervisor)
	if supervisor != "" && supervisor != strconv.Itoa(parent) {
		return environment{}, nil // the child of a child
	}
	e := environment{supervised: supervisor != "", socket: get(envNotifySocket)}
	e.standby = e.supervised && get(envStandby) == "1"
	mine := func(name string) bool { return e.supervised || get(name) == strconv.Itoa(self) }
	var err error
	if past := get(envUpgrades); e.supervised && past != "" {
		e.tellsPast = true
		if e.past, err = parseHistory(past); err != nil {
			return environment{}, err
		}
	}
	if count := get(envListenFDs); count != "" && mine(envListenPID) {
		if e.names, err = parseNames(count, get(envListenNames)); err != nil {
			return environment{}, err
		}
	}
	if usec := get(envWatchdog); usec != "" && (get(envWatchdogPID) == "" || mine(envWatchdogPID)) {
		if e.watchdog, err = parseInterval(usec); err != nil {
			return environment{}, err
		}
	}
	return e, nil
}

// parseNames gives each inherited descriptor its name; without names they are
// all "unknown" (sd_listen_fds_with_names(3)).
func parseNames(count, names string) ([]string, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxFDs {
		return nil, fmt.Errorf("%s is %q: want a number of descriptors from 0 to %d", envListenFDs, count, maxFDs)
	}
	if n == 0 {
		return nil, nil
	}
	if names == "" {
		names = "unknown" + strings.Repeat(":unknown", n-1)
	}
	list := strings.Split(names, ":")
	if len(list) != n {
		return nil, fmt.Errorf("%s has %d names: want %d, as many as %s says", envListenNames, len(list), n, envListenFDs)
	}
	return list, nil
}

func parseInterval(usec string) (time.Duration, error) {
	n, err := strconv.ParseUint(usec, 10, 64)
	if err != nil || n == 0 || n > math.MaxInt64/uint64(time.Microsecond) {
		return 0, fmt.Errorf("%s is %q: want a positive number of microseconds", envWatchdog, usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}
