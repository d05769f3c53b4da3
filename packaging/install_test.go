// Package packaging holds what brings vswitch onto a machine: the systemd unit, the
// commented configuration, the scripts behind make install, uninstall and deb, and
// the tests of what make install puts where.
package packaging

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// version, revision and date are what the tests build with; date is 9 September 2001.
const (
	version  = "v1.2.3"
	revision = "0123456789abcdef0123456789abcdef01234567"
	date     = "1000000000"
)

// tree is an installation below root, of what was built in bin.
type tree struct{ bin, root string }

func (tr tree) path(name string) string { return filepath.Join(tr.root, filepath.FromSlash(name)) }

// run runs a program at the top of the project and returns its standard output.
func run(t *testing.T, env []string, argv ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Stderr = "..", &stderr
	// What a make above this test was told is not meant for the make below it.
	cmd.Env = slices.DeleteFunc(append(os.Environ(), env...), func(s string) bool {
		return strings.HasPrefix(s, "MAKE") || strings.HasPrefix(s, "MFLAGS=")
	})
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", argv, err, out, stderr.String())
	}
	return string(out)
}

// make runs a target for this tree, and for the systemd of this machine.
func (tr tree) make(t *testing.T, target string) {
	t.Helper()
	run(t, nil, "make", target, "BIN="+tr.bin, "DESTDIR="+tr.root, "PREFIX=/usr", "CONFDIR=/etc/vswitch",
		"VERSION="+version, "REVISION="+revision, "SOURCE_DATE_EPOCH="+date)
}

// files are the paths of all files below the root, but for the manual of commands
// below vsctl and vsbench.
func (tr tree) files(t *testing.T) []string {
	t.Helper()
	names := []string{}
	err := filepath.WalkDir(tr.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(tr.root, path)
		if matched, _ := filepath.Match("usr/share/man/man1/*-*.1", name); !matched {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (tr tree) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(tr.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// programs are installed at these places, with a manual in these sections.
var programs = []struct{ name, path, section string }{
	{"vsbench", "usr/bin/vsbench", "1"},
	{"vsctl", "usr/bin/vsctl", "1"},
	{"vswitchd", "usr/sbin/vswitchd", "8"},
}

const configPath = "etc/vswitch/vswitchd.toml"

// wantFiles are all files of an installation, in the order of their names.
func wantFiles(t *testing.T) []string {
	t.Helper()
	names := []string{configPath, "usr/lib/systemd/system/vswitchd.service"}
	for _, page := range documents(t) {
		names = append(names, docPath+page)
	}
	for _, p := range programs {
		names = append(
			names, p.path, "usr/share/man/man"+p.section+"/"+p.name+"."+p.section,
			"usr/share/bash-completion/completions/"+p.name,
			"usr/share/zsh/site-functions/_"+p.name,
			"usr/share/fish/vendor_completions.d/"+p.name+".fish",
		)
	}
	slices.Sort(names)
	return names
}

func TestInstall(t *testing.T) {
	t.Parallel()
	tr := tree{bin: t.TempDir(), root: t.TempDir()}
	tr.make(t, "install")
	got := tr.files(t)
	slices.Sort(got)
	if want := wantFiles(t); !slices.Equal(got, want) {
		t.Errorf("make install puts there\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	t.Run("programs", tr.testPrograms)
	t.Run("manual", tr.testManual)
	t.Run("documentation", tr.testDocumentation)
	t.Run("completion", tr.testCompletion)
	t.Run("config", tr.testConfig)
	t.Run("unit", tr.testUnit)
	t.Run("unit's system calls", tr.testSystemCalls)
	t.Run("unit for a version of systemd", tr.testUnitVersions)
	t.Run("uninstall", tr.testUninstall) // the last: it takes all away
}

func (tr tree) testPrograms(t *testing.T) {
	for _, p := range programs {
		info, err := os.Stat(tr.path(p.path))
		if err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v, %v; want mode 0755", p.path, info, err)
		}
	}
	for _, name := range []string{"usr/bin/vsbench", "usr/sbin/vswitchd"} {
		want := fmt.Sprintf("%s version %s\n", filepath.Base(name), version)
		if out := run(t, nil, tr.path(name), "--version"); out != want {
			t.Errorf("%s --version says %q, want %q", name, out, want)
		}
	}
	if out := run(t, nil, tr.path("usr/bin/vsctl"), "--help"); !strings.Contains(out, "vsctl [command]") {
		t.Errorf("vsctl --help says\n%s", out)
	}
	tr.testRevision(t)
}

// testRevision wants vsctl to name the commit that it was built from. Its status is a failure,
// since no vswitchd serves that socket.
func (tr tree) testRevision(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), tr.path("usr/bin/vsctl"), "version", "--socket", filepath.Join(t.TempDir(), "none"))
	out, err := cmd.Output()
	if want := "Revision:   " + revision + "\n"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("vsctl version says %q, %v; want %q and a failure", out, err, want)
	}
}

// seeAlso finds the pages that a page names, as in vsctl-add-port(1).
var seeAlso = regexp.MustCompile(`([a-z]+(?:\\?-[a-z]+)*)\((1|8)\)`)

func (tr tree) testManual(t *testing.T) {
	pages, err := filepath.Glob(tr.path("usr/share/man/man*/*"))
	if err != nil || len(pages) < len(programs)+10 { // vsctl alone has more than ten commands
		t.Fatalf("the manual has %d pages, %v", len(pages), err)
	}
	_, missing := exec.LookPath("man")
	for _, page := range pages {
		name, section, _ := strings.Cut(filepath.Base(page), ".")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// The title is in capitals, and a hyphen in it may be written as \-.
		title := strings.ReplaceAll(strings.SplitN(string(text), "\n.SH", 2)[0], `\-`, "-")
		want := fmt.Sprintf(`.TH "%s" "%s" "Sep 2001" "vswitch %s"`, strings.ToUpper(name), section, version)
		if !strings.Contains(title, want) {
			t.Errorf("%s begins with %q, want %q", filepath.Base(page), title, want)
		}
		for _, other := range seeAlso.FindAllStringSubmatch(string(text), -1) {
			file := fmt.Sprintf("man%s/%s.%s", other[2], strings.ReplaceAll(other[1], `\`, ""), other[2])
			if _, err := os.Stat(tr.path("usr/share/man/" + file)); err != nil {
				t.Errorf("%s names a page that is not there: %s", filepath.Base(page), other[0])
			}
		}
		if missing == nil {
			run(t, []string{"LC_ALL=C.UTF-8", "MANROFFOPT=", "MAN_KEEP_FORMATTING="}, "man", "-l", page)
		}
	}
}

func (tr tree) testCompletion(t *testing.T) {
	for _, p := range programs {
		bash := tr.path("usr/share/bash-completion/completions/" + p.name)
		run(t, nil, "bash", "-n", bash)
		out := run(t, nil, "bash", "--norc", "-c", `source "$1" && complete -p "$2"`, "bash", bash, p.name)
		if !strings.Contains(out, "__start_"+p.name) {
			t.Errorf("bash completes %s by %q", p.name, out)
		}
		if zsh := tr.read(t, "usr/share/zsh/site-functions/_"+p.name); !strings.HasPrefix(zsh, "#compdef "+p.name+"\n") {
			t.Errorf("zsh does not load the completion of %s: %.40q", p.name, zsh)
		}
		if fish := tr.read(t, "usr/share/fish/vendor_completions.d/"+p.name+".fish"); !strings.Contains(fish, "complete -c "+p.name) {
			t.Errorf("fish does not complete %s", p.name)
		}
	}
	// What the scripts ask the program for.
	out := run(t, nil, tr.path("usr/sbin/vswitchd"), "__complete", "--state")
	if !strings.Contains(out, "--state-dir") {
		t.Errorf("vswitchd completes --state to %q", out)
	}
}

// notConfigured are flags that make no sense in a file.
var notConfigured = []string{"config", "help", "restore", "version"}

var (
	helpFlag  = regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z0-9-]+)`)
	configKey = regexp.MustCompile(`(?m)^#([a-z0-9-]+) = `)
)

func (tr tree) testConfig(t *testing.T) {
	vswitchd, text := tr.path("usr/sbin/vswitchd"), tr.read(t, configPath)
	keys := names(configKey, text)
	flags := slices.DeleteFunc(names(helpFlag, run(t, nil, vswitchd, "--help")), func(flag string) bool {
		return slices.Contains(notConfigured, flag)
	})
	if !slices.Equal(keys, flags) {
		t.Errorf("packaging/vswitchd.toml explains the keys\n%q\nwant one for each flag:\n%q", keys, flags)
	}
	// All values must be good: the one complaint is about the flag given here.
	path := filepath.Join(t.TempDir(), "all.toml")
	all := regexp.MustCompile(`(?m)^#([a-z0-9-]+ = |\t|\])`).ReplaceAllString(text, "$1")
	if err := os.WriteFile(path, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, tr.path(configPath)} {
		out, err := exec.CommandContext(t.Context(), vswitchd, "--config", file, "--log-format", "none").CombinedOutput()
		if err == nil || !strings.Contains(string(out), `--log-format "none" is unknown`) {
			t.Errorf("vswitchd does not take %s: %s", file, out)
		}
	}
}

// names are what the pattern's group matches, each once, in order.
func names(pattern *regexp.Regexp, text string) []string {
	var found []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

const unitPath = "usr/lib/systemd/system/vswitchd.service"

func (tr tree) testUnit(t *testing.T) {
	text := tr.read(t, unitPath)
	if want := "ExecStart=/usr/sbin/vswitchd --config /etc/vswitch/vswitchd.toml\n"; !strings.Contains(text, want) {
		t.Errorf("the unit does not have %q", want)
	}
	requireSystemd(t)
	// It looks for the program, which is not at the root of this machine.
	unit := filepath.Join(t.TempDir(), "vswitchd.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, "=/usr/sbin/", "="+tr.path("usr/sbin")+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "vswitchd.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// calledByVswitchd are the system calls of vswitchd while it starts, attaches ports, routes,
// publishes, is upgraded and stops, as strace(1) shows them, and those of other architectures in
// their place.
const calledByVswitchd = `accept4 access arch_prctl bind brk capget clock_gettime clone clone3 close
	connect dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve exit_group fallocate fchmod
	fchmodat fcntl fdatasync flock fstat fstatfs fsync ftruncate futex getdents64 getpeername getpid
	getppid getrandom getsockname getsockopt gettid io_uring_enter io_uring_register io_uring_setup
	ioctl linkat listen madvise memfd_create mkdirat mmap mprotect munmap nanosleep newfstatat openat
	pidfd_open pidfd_send_signal pipe2 ppoll prctl pread64 prlimit64 pwrite64 read readlinkat recvfrom
	recvmsg rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_getattr sched_setattr
	sched_yield sendmsg sendto set_robust_list set_tid_address setns setpgid setsockopt sigaltstack
	socket socketpair statfs tgkill uname unlinkat waitid write`

// testSystemCalls wants the unit to allow what vswitchd calls, and not what reaches into other
// processes or changes who it is.
func (tr tree) testSystemCalls(t *testing.T) {
	requireSystemd(t)
	allowed := map[string]bool{}
	for line := range strings.Lines(tr.read(t, unitPath)) {
		filter, found := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !found {
			continue
		}
		filter, forbids := strings.CutPrefix(filter, "~")
		for name := range strings.FieldsSeq(filter) {
			for _, call := range systemCalls(t, name) {
				allowed[call] = !forbids
			}
		}
	}
	called := strings.Fields(calledByVswitchd)
	for _, call := range called {
		if !allowed[call] {
			t.Errorf("the unit forbids %s, which vswitchd calls", call)
		}
	}
	for _, set := range []string{
		"@setuid", "@keyring", "@privileged", "@resources", "@debug", "@memlock", "unshare",
		"process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "userfaultfd", "shmat",
	} {
		for _, call := range systemCalls(t, set) {
			if allowed[call] && !slices.Contains(called, call) {
				t.Errorf("the unit allows %s, of %s", call, set)
			}
		}
	}
}

// systemCalls expands a name or a set of systemd's (systemd.exec(5)).
func systemCalls(t *testing.T, name string) []string {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
	}
	var calls []string
	for line := range strings.Lines(string(out)) {
		member := strings.TrimSpace(line)
		if !strings.HasPrefix(line, " ") || strings.HasPrefix(member, "#") {
			continue
		}
		calls = append(calls, systemCalls(t, member)...)
	}
	return calls
}

// requireSystemd wants systemd's programs.
func requireSystemd(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		message := "command systemd-analyze is missing: install the Debian package systemd, or run: make deps"
		if os.Geteuid() != 0 {
			t.Skip("NOT RUN: " + message)
		}
		t.Fatal(message)
	}
}

// install runs the script behind make install once more, without building.
func (tr tree) install(t *testing.T, action, root, prefix, systemd string) {
	t.Helper()
	run(t, []string{"BIN=" + tr.bin, "DESTDIR=" + root, "PREFIX=" + prefix, "CONFDIR=/etc/vswitch", "SYSTEMD=" + systemd},
		"sh", "packaging/install.sh", action)
}

func (tr tree) testUnitVersions(t *testing.T) {
	for systemd, preserves := range map[string]bool{"": true, "252": false, "253.1-2": false, "254": true, "257~rc1": true} {
		other := tree{bin: tr.bin, root: t.TempDir()}
		other.install(t, "install", other.root, "/opt/vswitch", systemd)
		text := other.read(t, "opt/vswitch/lib/systemd/system/vswitchd.service")
		if strings.Contains(text, "\nFileDescriptorStorePreserve=yes\n") != preserves || strings.Contains(text, "systemd-254:") {
			t.Errorf("systemd %q: the unit has FileDescriptorStorePreserve= wrongly or not at all:\n%s", systemd, text)
		}
		for _, want := range []string{"\nExecStart=/opt/vswitch/sbin/vswitchd ", "\nFileDescriptorStoreMax=9218\n", "\nStateDirectory=vswitch\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("systemd %q: the unit does not have %q", systemd, want)
			}
		}
	}
}

func (tr tree) testUninstall(t *testing.T) {
	changed := tr.read(t, configPath) + "workers = 1\n"
	if err := os.WriteFile(tr.path(configPath), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.install(t, "install", tr.root, "/usr", "")
	if tr.read(t, configPath) != changed {
		t.Error("a second installation overwrites the configuration")
	}
	tr.make(t, "uninstall")
	if left := tr.files(t); !slices.Equal(left, []string{configPath}) {
		t.Errorf("make uninstall leaves %q, want the changed configuration alone", left)
	}
	if err := os.Remove(tr.path(configPath)); err != nil {
		t.Fatal(err)
	}
	tr.install(t, "install", tr.root, "/usr", "")
	tr.make(t, "uninstall")
	if left, _ := filepath.Glob(tr.path("usr/share/man/man*/*")); len(left) > 0 {
		t.Errorf("make uninstall leaves the manual: %q", left)
	}
	if left := tr.files(t); len(left) > 0 {
		t.Errorf("make uninstall leaves %q", left)
	}
	for _, directory := range []string{"etc/vswitch", "usr/share/doc/vswitch"} {
		if _, err := os.Stat(tr.path(directory)); err == nil {
			t.Errorf("make uninstall leaves the directory %s", directory)
		}
	}
}
