package store

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vswitch/internal/control/model"
	"vswitch/internal/frame"

	"go.etcd.io/bbolt"
)

func TestOpenMakesDirectoryAndFileForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lib", "vswitch")
	db := open(t, dir, Options{})
	wantState(t, db, model.Records{})
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, FileName): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	wantFiles(t, dir, FileName)
}

func TestOpenRefusesWhatIsNoDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(dir, Options{})
		wantError(t, err, dir, "not a directory")
	}
}

func TestOpenGivesUpOnALinkToNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Symlink("nowhere", filepath.Join(dir, FileName)))
	_, err := Open(dir, Options{})
	wantError(t, err, dir, "link to nothing")
}

func TestStateComesBackAsItWasPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	wantState(t, db, sample())
	must(t, db.Close())
	wantDisk(t, dir, sample())
}

// A field that the sample lacks would not be seen to come back.
func TestTheSampleHasEveryField(t *testing.T) {
	t.Parallel()
	filled := make(map[string]bool)
	var all []string
	note := func(record any) {
		v := reflect.ValueOf(record)
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			all = append(all, name)
			filled[name] = filled[name] || !v.Field(i).IsZero()
		}
	}
	for _, s := range sample().Segments {
		note(s)
	}
	for _, p := range sample().Ports {
		note(p)
	}
	for _, p := range sample().Pools {
		note(p)
	}
	for _, e := range sample().Entries {
		note(e)
	}
	for _, name := range all {
		if !filled[name] {
			t.Errorf("no record of the sample has a %s", name)
		}
	}
}

func TestTimesComeBackInUTC(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), Options{})
	local := aSegment(1)
	local.Created = someTime.In(time.FixedZone("east", 3600))
	must(t, db.Apply(model.PutSegment(local)))
	wantState(t, db, model.Records{Segments: []model.Segment{aSegment(1)}})
}

func TestPutReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	want := sample()
	want.Segments[0].Name, want.Segments[0].MTU = "renamed", 1400
	subnet := &want.Segments[1].Subnets[0]
	subnet.Prefix = netip.MustParsePrefix("10.2.0.0/15")
	subnet.Range, subnet.PoolID = subnet.Prefix, ""
	want.Ports[0].Name, want.Ports[0].MAC = "renamed", mac(77)
	want.Ports[0].Addrs = []netip.Addr{netip.MustParseAddr("10.1.9.9")}
	want.Entries[0].PortID = want.Ports[0].ID
	putAll(t, db, want)
	wantState(t, db, want)

	// What the replaced records had is free again.
	s, p := aSegment(3), aPort(3, 1)
	old := sample().Ports[0]
	s.Name, p.Name, p.MAC, p.Addrs = sample().Segments[0].Name, old.Name, old.MAC, old.Addrs
	must(t, db.Apply(model.PutSegment(s)))
	must(t, db.Apply(model.PutPort(p)))
	want.Segments = append(want.Segments, s)
	want.Ports = append(want.Ports, p)
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	want := sample()
	putAll(t, db, want)

	must(t, db.Apply(model.DeleteEntry(want.Entries[1].SegmentID, want.Entries[1].MAC)))
	want.Entries = slices.Delete(want.Entries, 1, 2)
	wantState(t, db, want)

	// Its entry goes with the port.
	must(t, db.Apply(model.DeletePort(want.Ports[1].ID)))
	want.Ports, want.Entries = want.Ports[:1], want.Entries[:1]
	wantState(t, db, want)

	must(t, db.Apply(model.DeleteSegment(want.Segments[1].ID)))
	want.Segments = want.Segments[:1]
	wantState(t, db, want)

	// Deleted names, addresses and MACs are free again.
	putAll(t, db, sample())
	must(t, db.Close())
	wantDisk(t, dir, sample())
}

func TestDeletingWhatIsNotThereIsNoError(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	before := readFile(t, filepath.Join(dir, FileName))
	db := open(t, dir, Options{})
	must(t, db.Apply(model.DeleteSegment(id(9))))
	must(t, db.Apply(model.DeletePort(id(9))))
	must(t, db.Apply(model.DeleteEntry(id(1), mac(9))))
	must(t, db.Apply(model.DeleteEntry("", frame.MAC{})))
	must(t, db.Close())
	wantUntouched(t, dir, before)
}

// counted counts the transactions of a store.
func counted(db *DB) *int {
	n := new(int)
	commit := db.commit
	db.commit = func(tx *bbolt.Tx) error { *n++; return commit(tx) }
	return n
}

func TestABatchIsOneTransaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	transactions := counted(db)
	want := sample()
	changes := []model.Change{model.PutPool(want.Pools[0]), model.PutSegment(want.Segments[0]), model.PutSegment(want.Segments[1])}
	for _, p := range want.Ports {
		changes = append(changes, model.PutPort(p))
	}
	for _, e := range want.Entries {
		changes = append(changes, model.PutEntry(e))
	}
	must(t, db.Apply(changes...))
	wantState(t, db, want)

	// Each is held against what those before it leave: the segment has no ports any more, and
	// what the port had is free.
	other := want.Ports[0]
	other.ID = id(1099)
	must(t, db.Apply(
		model.DeletePort(want.Ports[1].ID), model.DeleteSegment(want.Segments[1].ID), model.DeletePool(want.Pools[0].ID),
		model.DeletePort(want.Ports[0].ID), model.PutPort(other), model.PutEntry(model.Entry{SegmentID: id(1), MAC: mac(500), PortID: other.ID}),
	))
	want = model.Records{
		Segments: want.Segments[:1], Ports: []model.Port{other}, Entries: []model.Entry{{SegmentID: id(1), MAC: mac(500), PortID: other.ID}},
	}
	wantState(t, db, want)
	if *transactions != 2 {
		t.Errorf("two batches took %d transactions", *transactions)
	}
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func TestABatchThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	before := readFile(t, filepath.Join(dir, FileName))
	db := open(t, dir, Options{})
	renamed := aPort(1, 1)
	renamed.Name = "renamed"
	good := []model.Change{
		model.PutPort(renamed), model.DeletePort(id(1002)), model.DeleteEntry(id(1), mac(500)), model.DeleteSegment(id(2)), model.DeletePool(aPool(2).ID),
		model.PutSegment(aSegment(3)), model.PutPort(aPort(3, 3)), model.PutEntry(anEntry(7, 3, 3)), model.PutPool(aPool(4)),
	}
	twin := aPort(5, 3)
	twin.Addrs = aPort(3, 3).Addrs
	for range 2 {
		wantError(t, db.Apply(append(good, model.PutPort(twin))...), "that of port \"port-3\"")
		wantState(t, db, sample())
	}
	// What the batch would have freed is taken, and what it would have taken is free.
	twin = aPort(6, 1)
	twin.Name = "port-1"
	wantError(t, db.Apply(model.PutPort(twin)), "that of port "+id(1001))
	wantError(t, db.Apply(model.PutPort(aPort(3, 3))), "does not exist")
	wantError(t, db.Apply(model.DeleteSegment(id(2))), "port-2")
	wantUntouched(t, dir, before)
	must(t, db.Apply(good...))
}

func TestPuttingWhatIsThereWritesNothing(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	before := readFile(t, filepath.Join(dir, FileName))
	db := open(t, dir, Options{})
	putAll(t, db, sample())
	must(t, db.Apply())
	wantUntouched(t, dir, before)

	// Of a batch, only what differs is written.
	transactions := counted(db)
	want := sample()
	want.Ports[0].Down = true
	must(t, db.Apply(model.PutPort(want.Ports[0]), model.PutPort(want.Ports[1])))
	if *transactions != 1 {
		t.Errorf("one change took %d transactions", *transactions)
	}
	wantState(t, db, want)
}

func TestConcurrentChangesAreAllKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	must(t, db.Apply(model.PutSegment(aSegment(1))))
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 8 {
				n := worker*8 + i
				if err := db.Apply(model.PutPort(aPort(n, 1))); err != nil {
					t.Error(err)
				}
				db.State().Records()
				if n%4 == 0 {
					if err := db.Apply(model.DeletePort(aPort(n, 1).ID)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	want := model.Records{Segments: []model.Segment{aSegment(1)}}
	for n := range 32 {
		if n%4 != 0 {
			want.Ports = append(want.Ports, aPort(n, 1))
		}
	}
	must(t, db.Close())
	wantDisk(t, dir, want)
}

func TestSecondOpenIsRefusedWhileTheFirstLasts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	must(t, db.Apply(model.PutSegment(aSegment(1))))
	_, err := Open(dir, Options{LockTimeout: noWait})
	wantError(t, err, filepath.Join(dir, FileName), "another process", "--state-dir")
	if !errors.Is(err, ErrLocked) {
		t.Errorf("%v is no ErrLocked", err)
	}
	must(t, db.Apply(model.PutPort(aPort(1, 1))))
	must(t, db.Close())
	wantDisk(t, dir, model.Records{Segments: []model.Segment{aSegment(1)}, Ports: []model.Port{aPort(1, 1)}})
}

func TestOpenWaitsForAPredecessor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir, Options{})
	opened := make(chan error)
	go func() {
		db, err := Open(dir, Options{LockTimeout: time.Hour})
		if err == nil {
			err = db.Close()
		}
		opened <- err
	}()
	must(t, first.Apply(model.PutSegment(aSegment(1))))
	must(t, first.Close())
	must(t, <-opened)
	wantDisk(t, dir, model.Records{Segments: []model.Segment{aSegment(1)}})
}

func TestOpenAtOnceMakesOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			db, err := Open(dir, Options{LockTimeout: time.Hour})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Apply(model.PutSegment(aSegment(n))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantFiles(t, dir, FileName)
	wantDisk(t, dir, model.Records{Segments: []model.Segment{aSegment(0), aSegment(1), aSegment(2), aSegment(3)}})
}

func TestOpenWaitsForTheFileThatIsThereNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	first := open(t, dir, Options{})
	must(t, first.Apply(model.PutSegment(aSegment(1))))
	must(t, os.Rename(path, path+".away"))
	second := open(t, dir, Options{LockTimeout: noWait})
	wantState(t, second, model.Records{})
	must(t, second.Apply(model.PutSegment(aSegment(2))))
	wantState(t, first, model.Records{Segments: []model.Segment{aSegment(1)}})
	var backup bytes.Buffer
	must(t, first.Backup(&backup))
	if got, err := readState(backup.Bytes()); err != nil || !sameState(got, load(t, first)) {
		t.Errorf("backup of a file that was moved away: error %v, state\n%+v", err, got)
	}
}

func TestClosedStoreSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, Options{})
	must(t, db.Close())
	must(t, db.Close())
	for name, err := range map[string]error{
		"put": db.Apply(model.PutSegment(aSegment(1))), "delete": db.Apply(model.DeletePort(id(1))), "backup": db.Backup(new(bytes.Buffer)),
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed store: got error %v, want one that says so", name, err)
		}
	}
}

func TestRandomChangesAgainstAModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, small)
	var script script
	for range 150 {
		must(t, script.next().apply(db))
	}
	wantState(t, db, script.state)
	checkBolt(t, db)
	must(t, db.Close())
	wantDisk(t, dir, script.state)
	if n := len(script.state.Ports); n < 10 {
		t.Errorf("the script has left %d ports, too few to have filled more than a page", n)
	}
}

// What a state may have and a file cannot is refused as well, and changes nothing.
func TestARecordThatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t, Options{})
	before := readFile(t, filepath.Join(dir, FileName))
	db := open(t, dir, Options{})
	large, late := aSegment(3), aSegment(3)
	large.Labels = map[string]string{"a": strings.Repeat("x", maxRecord)}
	late.Created = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	wantError(t, db.Apply(model.PutSegment(large)), "bytes")
	wantError(t, db.Apply(model.PutSegment(late)), "year")
	wantState(t, db, sample())
	must(t, db.Close())
	wantUntouched(t, dir, before)
}
