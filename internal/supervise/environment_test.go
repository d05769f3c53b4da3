package supervise

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

type variables map[string]string

func (v variables) get(name string) string { return v[name] }

func TestParseEnvironment(t *testing.T) {
	t.Parallel()
	const self, parent = 17, 4
	for name, test := range map[string]struct {
		given   variables
		want    environment
		failure string
	}{
		"nothing": {},
		"systemd": {
			given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:a", "NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1500", "WATCHDOG_PID": "17"},
			want:  environment{names: []string{"a", "a"}, socket: "/run/n", watchdog: 1500 * time.Microsecond},
		},
		"without names":        {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "2"}, want: environment{names: []string{"unknown", "unknown"}}},
		"an empty name":        {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "2", "LISTEN_FDNAMES": ":"}, want: environment{names: []string{"", ""}}},
		"no descriptors":       {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "0"}},
		"another's":            {given: variables{"LISTEN_PID": "18", "LISTEN_FDS": "2", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "18"}},
		"nobody's":             {given: variables{"LISTEN_FDS": "2"}},
		"watchdog for anybody": {given: variables{"WATCHDOG_USEC": "1"}, want: environment{watchdog: time.Microsecond}},
		"supervisor": {
			given: variables{"VSWITCH_SUPERVISOR": "4", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a", "NOTIFY_SOCKET": "/run/n"},
			want:  environment{names: []string{"a"}, socket: "/run/n", supervised: true},
		},
		"supervisor of the parent": {given: variables{"VSWITCH_SUPERVISOR": "3", "LISTEN_FDS": "1", "NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1"}},
		"standby":                  {given: variables{"VSWITCH_SUPERVISOR": "4", "VSWITCH_STANDBY": "1"}, want: environment{supervised: true, standby: true}},
		"standby for nobody":       {given: variables{"VSWITCH_STANDBY": "1"}},
		"too few names":            {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}, failure: "has 1 names: want 2"},
		"negative":                 {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "-1"}, failure: `is "-1"`},
		"no number":                {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "two"}, failure: `is "two"`},
		"far too many":             {given: variables{"LISTEN_PID": "17", "LISTEN_FDS": "2000000000"}, failure: "from 0 to 1048576"},
		"watchdog of nothing":      {given: variables{"WATCHDOG_USEC": "0"}, failure: "positive number of microseconds"},
		"watchdog of an age":       {given: variables{"WATCHDOG_USEC": "18446744073709551615"}, failure: "positive number of microseconds"},
	} {
		got, err := parseEnvironment(test.given.get, self, parent)
		if (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
			t.Errorf("%s: %v, want %q", name, err, test.failure)
		}
		if !slices.Equal(got.names, test.want.names) || got.socket != test.want.socket || got.watchdog != test.want.watchdog ||
			got.supervised != test.want.supervised || got.standby != test.want.standby {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestChildrensEnvironmentIsTheirOwn(t *testing.T) {
	t.Parallel()
	o := Options{Env: []string{"PATH=/bin", "NOTIFY_SOCKET=/run/systemd/notify", "WATCHDOG_PID=1", "VSWITCH_STANDBY=1"}, Watchdog: time.Second}
	got := make(map[string]string)
	for _, assignment := range o.environment("/run/own", []string{"supervisor", "tap0"}, nil, false) {
		name, value, _ := strings.Cut(assignment, "=")
		got[name] = value
	}
	delete(got, envSupervisor)
	want := map[string]string{
		"PATH": "/bin", "NOTIFY_SOCKET": "/run/own", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "supervisor:tap0", "WATCHDOG_USEC": "1000000",
		"VSWITCH_UPGRADES": "[]",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzParseEnvironment(f *testing.F) {
	f.Add("2", "a:b", "1000")
	f.Add("1048576", "", "18446744073709551615")
	f.Add("", "::", "")
	f.Fuzz(func(t *testing.T, count, names, usec string) {
		given := variables{"LISTEN_PID": "1", "LISTEN_FDS": count, "LISTEN_FDNAMES": names, "WATCHDOG_USEC": usec}
		e, err := parseEnvironment(given.get, 1, 0)
		if err != nil {
			return
		}
		if e.watchdog < 0 || len(e.names) > maxFDs || names != "" && len(e.names) > 0 && strings.Join(e.names, ":") != names {
			t.Errorf("%v is understood as %+v", given, e)
		}
	})
}
