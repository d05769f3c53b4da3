package lab

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// recorder stands for a test and keeps what is said to it.
type recorder struct {
	testing.TB // panics where a method is missing below

	cleanups []func()
	messages []string
	skipped  bool
	failed   bool
}

// record runs f as a test of its own, cleanups included.
func record(f func(tb testing.TB)) *recorder {
	r := new(recorder)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
		}()
		f(r)
	}()
	<-done
	return r
}

func (r *recorder) Helper()               {}
func (r *recorder) Setenv(string, string) {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Error(args ...any) {
	r.failed = true
	r.messages = append(r.messages, fmt.Sprint(args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Fatal(fmt.Sprintf(format, args...))
}

func (r *recorder) Skip(args ...any) {
	r.skipped = true
	r.messages = append(r.messages, fmt.Sprint(args...))
	runtime.Goexit()
}

func (r *recorder) said() string { return strings.Join(r.messages, "\n") }
