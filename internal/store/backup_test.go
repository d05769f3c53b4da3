package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/iotest"

	"vswitch/internal/control/model"
)

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), Options{})
	putAll(t, db, sample())
	var backup bytes.Buffer
	must(t, db.Backup(&backup))
	must(t, db.Apply(model.PutPort(aPort(3, 1)))) // comes too late

	dir := filepath.Join(t.TempDir(), "lib", "vswitch")
	must(t, Restore(&backup, dir))
	wantFiles(t, dir, FileName)
	info, err := os.Stat(filepath.Join(dir, FileName))
	must(t, err)
	if got := info.Mode().Perm(); got != fileMode {
		t.Errorf("the restored file has mode %o, want %o", got, fileMode)
	}
	wantDisk(t, dir, sample())

	// It is a store like any other.
	restored := open(t, dir, Options{})
	want := sample()
	for n := 3; n < 30; n++ {
		must(t, restored.Apply(model.PutPort(aPort(n, 1))))
		want.Ports = append(want.Ports, aPort(n, 1))
	}
	must(t, restored.Close())
	wantDisk(t, dir, want)
}

func TestBackupsWhileInUse(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), small)
	must(t, db.Apply(model.PutSegment(aSegment(1))))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 60 {
			if err := db.Apply(model.PutPort(aPort(n, 1))); err != nil {
				t.Error(err)
			}
		}
	}()
	ports := 0
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		var backup bytes.Buffer
		must(t, db.Backup(&backup))
		state, err := readState(backup.Bytes())
		must(t, err)
		// Ports were put in order of their ids.
		for i, p := range state.Ports {
			if want := aPort(i, 1); !reflect.DeepEqual(p, want) {
				t.Fatalf("port %d of the backup is %+v, want %+v", i, p, want)
			}
		}
		if len(state.Ports) < ports {
			t.Fatalf("a later backup has %d ports, an earlier one had %d", len(state.Ports), ports)
		}
		ports = len(state.Ports)
	}
	if ports != 60 {
		t.Errorf("the last backup has %d ports, want 60", ports)
	}
}

func TestRestoreReplacesNothing(t *testing.T) {
	t.Parallel()
	dir, image := sampleDir(t, Options{}), sampleImage(t)
	before := readFile(t, filepath.Join(dir, FileName))
	err := Restore(bytes.NewReader(image), dir)
	wantError(t, err, filepath.Join(dir, FileName), "move it away")
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v is no fs.ErrExist", err)
	}
	wantUntouched(t, dir, before)
}

// onEOF calls f before it reports the end.
type onEOF struct {
	data *bytes.Reader
	f    func()
}

func (r onEOF) Read(b []byte) (int, error) {
	if r.data.Len() == 0 {
		r.f()
	}
	return r.data.Read(b)
}

func TestRestoreReplacesNothingThatAppearsMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := onEOF{bytes.NewReader(sampleImage(t)), func() {
		db, err := Open(dir, Options{})
		must(t, err)
		must(t, db.Close())
	}}
	err := Restore(from, dir)
	wantError(t, err, filepath.Join(dir, FileName), "move it away")
	wantDisk(t, dir, model.Records{})
	wantFiles(t, dir, FileName)
}

func TestRestoreOfABadBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	image := sampleImage(t)
	flipped := bytes.Clone(image)
	flipped[bytes.Index(flipped, []byte("port-1"))]++
	for name, backup := range map[string][]byte{
		"empty": nil, "half": image[:len(image)/2], "flipped": flipped, "text": []byte("no backup"),
	} {
		dir := t.TempDir()
		err := Restore(bytes.NewReader(backup), dir)
		wantError(t, err, filepath.Join(dir, FileName), "damaged", "another one")
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v is no ErrDamaged", name, err)
		}
		wantFiles(t, dir)
	}
	dir := t.TempDir()
	broken := errors.New("tape torn")
	if err := Restore(iotest.ErrReader(broken), dir); !errors.Is(err, broken) {
		t.Errorf("got error %v, want the reader's", err)
	}
	wantFiles(t, dir)
}

// full takes no byte.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("tape full") }

func TestBackupTellsThatItCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	db := open(t, sampleDir(t, Options{}), Options{})
	wantError(t, db.Backup(full{}), "tape full")
	must(t, db.Apply(model.PutPort(aPort(3, 1))))
}
