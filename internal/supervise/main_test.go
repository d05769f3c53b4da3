package supervise

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vswitch/test/lab"
)

// envRole makes this test binary something else than a test.
const envRole = "VSWITCH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		lab.Main(m)
	case "inherit":
		os.Exit(inheritMain())
	case "parent":
		os.Exit(parentMain())
	default:
		os.Exit(childMain(role))
	}
}

// parentMain supervises children with the file that it inherited.
func parentMain() int {
	self, err := Inherited()
	if err != nil {
		return 1
	}
	report := os.NewFile(uintptr(self.Files.Take("report")[0]), "report")
	defer self.Close()
	os.Setenv(envRole, "child") // for the children
	err = Run(context.Background(), Options{Files: map[string]*os.File{"report": report}})
	fmt.Fprintln(report, "parent ended:", err)
	return 1
}

// variablesLeft are those that children of this process would see.
func variablesLeft() []string {
	return slices.DeleteFunc(protocolVariables(), func(name string) bool {
		_, ok := os.LookupEnv(name)
		return !ok
	})
}

// inheritMain prints what it inherits.
func inheritMain() int {
	c, err := Inherited()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	fmt.Println(c.Supervised, c.Notify.socket, c.Notify.WatchdogInterval(), variablesLeft())
	for _, name := range c.Files.Names() {
		for _, fd := range c.Files.Take(name) {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			fmt.Println(name, fd, flags == unix.FD_CLOEXEC, err)
		}
	}
	return 0
}

// testChild is a child that reports what happens to it and does as it is told,
// one line each.
type testChild struct {
	*Child
	report   *os.File
	commands *bufio.Scanner
	seen     map[string][]int // descriptors that it has, by name
}

// childMain is a child. The name of its program says what it is like, so that an
// upgrade can bring another kind; the role does so for all programs.
func childMain(role string) int {
	if role == "usage" {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	inherited, err := Inherited()
	if err != nil {
		return 1
	}
	defer inherited.Close()
	c := &testChild{Child: inherited, seen: make(map[string][]int)}
	c.report = os.NewFile(uintptr(c.Files.Take("report")[0]), "report")
	if fds := c.Files.Take("commands"); len(fds) == 1 {
		c.commands = bufio.NewScanner(os.NewFile(uintptr(fds[0]), "commands"))
	}
	if err := c.comeUp(ctx, role); err != nil {
		c.say("not up: %v", err)
		return 1
	}
	if role == "deaf" {
		select {}
	}
	go c.beat(ctx)
	if c.commands != nil {
		go c.obey(ctx)
	}
	select {
	case <-ctx.Done():
		c.say("ending")
	case <-c.Control.Replaced():
		c.say("making room")
	}
	return 0
}

// comeUp is what a child does until it is ready.
func (c *testChild) comeUp(ctx context.Context, role string) error {
	program := filepath.Base(os.Args[0])
	switch program {
	case "exits":
		os.Exit(3)
	case "hangs":
		select {}
	case "gated":
		c.say("gated %d", os.Getpid())
		var b [1]byte
		if _, err := os.NewFile(uintptr(c.Files.Take("gate")[0]), "gate").Read(b[:]); err != nil {
			return err
		}
	}
	if role == "mute" {
		<-ctx.Done()
	}
	if err := c.Control.AwaitTurn(ctx); err != nil {
		return err
	}
	switch program {
	case "exits-in-turn":
		os.Exit(4)
	case "dies-in-turn":
		return unix.Kill(os.Getpid(), unix.SIGKILL)
	case "hangs-in-turn":
		select {}
	}
	if role == "deaf" {
		signal.Ignore(unix.SIGTERM)
	}
	if err := c.Notify.Ready("serving"); err != nil {
		return err
	}
	comm, err := os.ReadFile("/proc/self/comm")
	c.say("up %d %s %s", os.Getpid(), program, strings.TrimSpace(string(comm)))
	return err
}

func (c *testChild) say(format string, args ...any) {
	fmt.Fprintf(c.report, format+"\n", args...)
}

func (c *testChild) beat(ctx context.Context) {
	if c.Notify.WatchdogInterval() == 0 || filepath.Base(os.Args[0]) == "heartless" {
		return
	}
	ticker := time.NewTicker(c.Notify.WatchdogInterval() / 20)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := c.Notify.Watchdog(); err != nil {
			c.say("watchdog: %v", err)
		}
	}
}

// obey follows commands; the last line that it reads is the last of the test.
func (c *testChild) obey(ctx context.Context) {
	for c.commands.Scan() {
		args := append(strings.Fields(c.commands.Text()), "", "")
		if verb := args[0]; verb == "upgrade" || verb == "upgrade-trusted" { // path, number
			c.say("asked") // before what comes of it
			id, _ := strconv.ParseUint(args[2], 10, 64)
			go c.upgrade(ctx, UpgradeRequest{id, args[1], verb == "upgrade-trusted"})
			continue
		}
		c.say("%s", c.do(ctx, args[0], args[1:]))
	}
}

func (c *testChild) upgrade(ctx context.Context, r UpgradeRequest) {
	if err := c.Control.Upgrade(ctx, r); ctx.Err() == nil {
		c.say("%v", err)
	}
}

func (c *testChild) do(ctx context.Context, verb string, args []string) string {
	var err error
	switch verb {
	case "keep": // name, content
		if err = c.keep(args[0], args[1]); err == nil {
			err = c.Notify.Sync(ctx)
		}
	case "keep-and-die": // name, content
		if err = c.keep(args[0], args[1]); err == nil {
			err = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	case "fill": // until it is too much
		for err == nil {
			if err = c.keep(strings.Repeat("x", maxName), "y"); err == nil {
				err = c.Notify.Sync(ctx)
			}
		}
	case "drop": // name
		if err = c.Notify.Drop(args[0]); err == nil {
			err = c.Notify.Sync(ctx)
		}
	case "show": // name
		return c.show(args[0])
	case "upgraded": // number
		return c.upgraded(args[0])
	case "environment":
		return fmt.Sprint(variablesLeft())
	case "descriptors":
		entries, err := os.ReadDir("/proc/self/fd")
		return fmt.Sprint(len(entries), err)
	case "socket":
		return c.Notify.socket
	case "count":
		return fmt.Sprint(len(c.Files.Names()))
	case "names":
		return fmt.Sprint(c.Files.Names())
	case "watchdog":
		return c.Notify.WatchdogInterval().String()
	case "standby": // a second time does nothing
		err = c.Control.AwaitTurn(ctx)
	case "exit": // status
		status, _ := strconv.Atoi(args[0])
		os.Exit(status)
	}
	return fmt.Sprint(err)
}

// upgraded says what came of an upgrade.
func (c *testChild) upgraded(number string) string {
	all, told := c.Control.Upgrades()
	if !told {
		return "the supervisor does not tell"
	}
	for _, u := range all {
		if strconv.FormatUint(u.ID, 10) == number {
			program := func(s string) string { return strings.ReplaceAll(s, filepath.Dir(u.Binary)+"/", "") }
			return strings.TrimSpace(program(fmt.Sprintf("%s %s %s", u.Binary, u.State, u.Reason)))
		}
	}
	return "unknown"
}

// keep has a new file in memory kept.
func (c *testChild) keep(name, content string) error {
	fd, err := unix.MemfdCreate("kept", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(content)); err != nil {
		return err
	}
	return c.Notify.Keep(name, fd)
}

// show is the content of each descriptor of that name, and how far it has been
// written: a file opened anew would be at 0.
func (c *testChild) show(name string) string {
	c.seen[name] = append(c.seen[name], c.Files.Take(name)...)
	var all []string
	for _, fd := range c.seen[name] {
		b := make([]byte, 100)
		n, err := unix.Pread(fd, b, 0)
		if err != nil {
			return err.Error()
		}
		at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
		if err != nil {
			return err.Error()
		}
		all = append(all, fmt.Sprintf("%s@%d", b[:n], at))
	}
	return fmt.Sprint(all)
}
