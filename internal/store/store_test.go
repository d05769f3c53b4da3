package store

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/control/model/modeltest"

	"go.etcd.io/bbolt"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	if file := os.Getenv(surveyFile); file != "" {
		surveyChild(file)
		return
	}
	os.Exit(m.Run())
}

// noWait makes [Open] try the lock once.
const noWait = time.Nanosecond

// small makes files that a test can go through bit by bit.
var small = Options{pageSize: smallPage}

const smallPage = 1 << 10

// Records of these tests.
var (
	id       = modeltest.ID
	mac      = modeltest.MAC
	aSegment = modeltest.Segment
	aPort    = modeltest.Port
	aPool    = modeltest.Pool
	anEntry  = modeltest.Entry
	sample   = modeltest.Sample
	someTime = modeltest.Created
)

// The name was not reserved before: what has it must still load.
func TestAPortCalledGatewayLoads(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), aPort(1, 1)
	p.Name = "gateway"
	want := model.Records{Segments: []model.Segment{aSegment(1)}, Ports: []model.Port{p}}
	db := open(t, dir, Options{})
	putAll(t, db, want)
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func putAll(t testing.TB, db *DB, state model.Records) {
	t.Helper()
	for _, p := range state.Pools {
		must(t, db.Apply(model.PutPool(p)))
	}
	for _, s := range state.Segments {
		must(t, db.Apply(model.PutSegment(s)))
	}
	for _, p := range state.Ports {
		must(t, db.Apply(model.PutPort(p)))
	}
	for _, e := range state.Entries {
		must(t, db.Apply(model.PutEntry(e)))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the store in dir until the test ends.
func open(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// sampleDir is a closed store with the sample.
func sampleDir(t testing.TB, o Options) string {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir, o)
	putAll(t, db, sample())
	must(t, db.Close())
	return dir
}

// load reads the state from the file, and wants it to be the one that the store gives out.
func load(t testing.TB, db *DB) model.Records {
	t.Helper()
	var state *model.State
	must(t, db.view(func(tx *bbolt.Tx) (err error) {
		state, err = stateOf(tx, db.schema)
		return err
	}))
	if found, given := state.Records(), db.State().Records(); !sameState(found, given) {
		t.Fatalf("on disk is\n%+v, while the store says\n%+v", found, given)
	}
	return state.Records()
}

func wantState(t testing.TB, db *DB, want model.Records) {
	t.Helper()
	if got := load(t, db); !sameState(got, want) {
		t.Fatalf("the state is\n%+v, want\n%+v", got, want)
	}
}

// wantDisk wants that a new start finds a state.
func wantDisk(t testing.TB, dir string, want model.Records) {
	t.Helper()
	db, err := Open(dir, Options{LockTimeout: noWait})
	must(t, err)
	wantState(t, db, want)
	checkBolt(t, db)
	must(t, db.Close())
}

// checkBolt asks bbolt whether it finds the file sound as well.
func checkBolt(t testing.TB, db *DB) {
	t.Helper()
	must(t, db.bolt.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		return nil
	}))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

// wantError wants one line that names the file and says each of the words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.Count(err.Error(), "state file ") > 1 {
		t.Errorf("error %q names the file twice", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

// wantUntouched wants dir to hold one file, the state file with the given bytes.
func wantUntouched(t testing.TB, dir string, want []byte) {
	t.Helper()
	if !bytes.Equal(readFile(t, filepath.Join(dir, FileName)), want) {
		t.Error("the state file was changed")
	}
	wantFiles(t, dir, FileName)
}

func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, f := range list {
		got = append(got, f.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("in the directory are %q, want %q", got, want)
	}
}

// sameState says whether a and b are equal; no records are as good as none.
func sameState(a, b model.Records) bool {
	return slices.EqualFunc(a.Segments, b.Segments, func(a, b model.Segment) bool { return reflect.DeepEqual(a, b) }) &&
		slices.EqualFunc(a.Ports, b.Ports, func(a, b model.Port) bool { return reflect.DeepEqual(a, b) }) &&
		slices.EqualFunc(a.Pools, b.Pools, func(a, b model.Pool) bool { return reflect.DeepEqual(a, b) }) &&
		slices.Equal(a.Entries, b.Entries)
}

// clone returns records whose lists tests may change.
func clone(r model.Records) model.Records {
	return model.Records{
		Segments: slices.Clone(r.Segments), Ports: slices.Clone(r.Ports),
		Entries: slices.Clone(r.Entries), Pools: slices.Clone(r.Pools),
	}
}
