// Package seed gives random tests their seed: a fresh one for each run, or the one that the
// test flag -seed gives. A red test prints the command that runs it again with its seed.
//
// The package is a leaf that imports only the standard library, so that tests of every
// package can use it, those inside a package too. Benchmarks and checks of statistics that
// hold for most seeds only keep a fixed seed of their own.
package seed

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// given is the seed of the flag, nil without it.
var given *uint64

func init() {
	flag.Func("seed", "seed of the random tests, decimal or 0x hex (default: a fresh one)",
		func(text string) error {
			n, err := strconv.ParseUint(text, 0, 64)
			given = &n
			return err
		})
}

// run is one test that runs and has called New.
type run struct {
	seed  uint64
	calls uint64
}

var (
	mu   sync.Mutex
	runs = map[string]*run{} // by the full name of the test
)

// New returns a generator of random numbers for one test. The numbers depend only on the
// seed, the test's full name and, where a test calls New several times, which call it is.
// A test draws a fresh seed for each run unless -seed is set; a subtest takes that of a test
// above it that has called New. The first call logs the seed and the command to run the test
// again, which package testing shows when the test fails or with -v.
//
// The generator is for one goroutine. A test with several makes one for each, before they
// start.
func New(tb testing.TB) *rand.Rand {
	tb.Helper()
	return rand.New(rand.NewPCG(next(tb)))
}

// NewReader returns a reader of random bytes without end, which never fails. It counts as
// a call of [New].
func NewReader(tb testing.TB) *rand.ChaCha8 {
	tb.Helper()
	seed, stream := next(tb)
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	binary.BigEndian.PutUint64(key[8:], stream)
	return rand.NewChaCha8(key)
}

// next returns the test's seed, and which stream of its numbers is the next call's.
func next(tb testing.TB) (seed, stream uint64) {
	tb.Helper()
	name := tb.Name()
	mu.Lock()
	defer mu.Unlock()
	r := runs[name]
	if r == nil {
		r = &run{seed: chooseLocked(name)}
		runs[name] = r
		tb.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			delete(runs, name)
		})
		tb.Logf("random seed %#x: run again with: %s", r.seed, command(name, r.seed))
	}
	r.calls++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", name, r.calls)
	return r.seed, h.Sum64()
}

// chooseLocked returns the seed for a test that has none yet. The caller holds mu.
func chooseLocked(name string) uint64 {
	if given != nil {
		return *given
	}
	for i := strings.LastIndexByte(name, '/'); i >= 0; i = strings.LastIndexByte(name, '/') {
		name = name[:i]
		if r := runs[name]; r != nil {
			return r.seed
		}
	}
	return rand.Uint64()
}

// command returns the shell command that runs the test of that name again, from the
// module's root.
func command(name string, seed uint64) string {
	elements := strings.Split(name, "/")
	for i, e := range elements {
		elements[i] = "^" + regexp.QuoteMeta(e) + "$"
	}
	pattern := strings.ReplaceAll(strings.Join(elements, "/"), "'", `'\''`)
	return fmt.Sprintf("go test -run '%s' %s -args -seed=%#x", pattern, folder(), seed)
}

// folder returns the tested package's folder in the module, as go test takes it. The build
// information names a test binary after the import path of its package, wherever the
// binary is started.
func folder() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "."
	}
	path, isTest := strings.CutSuffix(info.Path, ".test")
	if rel, inModule := strings.CutPrefix(path, info.Main.Path); isTest && inModule {
		return "." + rel
	}
	return "."
}
