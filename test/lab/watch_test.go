package lab

import (
	"testing"
	"time"
)

func TestWatchedProcess(t *testing.T) {
	t.Parallel()
	p := shell(t, `echo ready; read line`)
	if _, err := p.Await(t.Context(), 0, "ready"); err != nil {
		t.Fatal(err)
	}
	w := WatchProcess(t, p.Pid())
	if w.Ended() || w.endsWithin(time.Millisecond) {
		t.Error("the process has ended, want it to wait for its input")
	}
	if _, err := p.Write([]byte("line\n")); err != nil {
		t.Fatal(err)
	}
	w.Await()
	if code, err := p.Wait(t.Context()); err != nil || code != 0 {
		t.Errorf("got exit status %d, %v; want 0", code, err)
	}
	w.Kill() // nobody
	if !WatchProcess(t, p.Pid()).Ended() {
		t.Error("a process that has ended before is not known to have")
	}
}

func TestKillWatchedProcess(t *testing.T) {
	t.Parallel()
	p := shell(t, `exec sleep 1000`)
	w := WatchProcess(t, p.Pid())
	w.Kill()
	if code, err := p.Wait(t.Context()); err != nil || code != -1 || !w.Ended() {
		t.Errorf("got exit status %d, %v; want that a signal has ended it", code, err)
	}
}
