package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"vswitch/internal/control/model"
)

// FileName is the name of the state file in the state directory.
const FileName = "state.db"

// DefaultLockTimeout is how long [Open] waits for the file: a predecessor may be
// about to exit.
const DefaultLockTimeout = time.Second

// Options are how to open a store. The zero value is right for most.
type Options struct {
	// LockTimeout is how long to wait while another process has the file open;
	// zero stands for [DefaultLockTimeout].
	LockTimeout time.Duration

	// OnAnew is called when the state file was removed under the running process and has been
	// written anew; nil: nobody wants to know. The store may not be used in it.
	OnAnew func(path string)

	pageSize   int         // bytes, of a new file; 0: the system's
	migrations []migration // nil: those of the package
}

func (o Options) steps() []migration {
	if o.migrations != nil {
		return o.migrations
	}
	return migrations()
}

func (o Options) schema() int { return len(o.steps()) + 1 }

// DB is the store on disk: one bbolt file with a transaction for each change. Its
// methods may be called concurrently.
//
// The free list is kept in the file. Without it, bbolt would collect the free
// pages in a goroutine of its own, at the start and after each failure, where
// nobody could catch a fault.
type DB struct {
	path   string
	device uint64                // that the state directory is on
	onAnew func(path string)     // as in Options
	commit func(*bbolt.Tx) error // tests put a failing disk here
	schema int

	state atomic.Pointer[model.State] // stored with mu held

	mu     sync.Mutex
	closed bool
	failed error // set: nothing is written any more

	// opening is held to read, without mu, what follows, and to write it, with mu.
	opening sync.RWMutex
	file    *os.File  // bolt's; its lock is the store's
	bolt    *bbolt.DB // has locks of its own
}

var _ Store = (*DB)(nil)

// Open opens the state file in dir and makes both if they are missing: dir with
// mode 0700, the file with 0600. The file is read and checked as a whole before
// anything is written to it. The error is an [ErrLocked], [ErrDamaged], [ErrNewer]
// or that of the file system; the file is then as it was.
func Open(dir string, o Options) (*DB, error) {
	path := filepath.Join(dir, FileName)
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	f, err := openLocked(path, o)
	if err != nil {
		return nil, explain(path, err)
	}
	db, err := start(path, f, o)
	return db, explain(path, err)
}

// start makes a store of an open file, which it closes if it cannot.
func start(path string, f *os.File, o Options) (*DB, error) {
	db := &DB{
		path: path, file: f, commit: (*bbolt.Tx).Commit, schema: o.schema(), onAnew: o.OnAnew,
	}
	var err error
	if db.device, err = deviceOf(filepath.Dir(path)); err != nil {
		f.Close()
		return nil, err
	}
	a, err := db.check()
	if err == nil {
		db.bolt, err = openBolt(f, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if a.Schema == db.schema {
		return db, nil
	}
	if err := db.migrate(o.steps()); err != nil {
		_ = db.release(err) // the first error tells more
		return nil, err
	}
	return db, nil
}

// check reads the whole file and keeps the state in it, unless it has an older schema.
func (db *DB) check() (about, error) {
	info, err := db.file.Stat()
	if err != nil {
		return about{}, err
	}
	if !info.Mode().IsRegular() {
		return about{}, damagef("it is not a regular file")
	}
	c, err := readImage(io.NewSectionReader(db.file, 0, info.Size()))
	if err != nil {
		return about{}, err
	}
	a, err := c.verify(db.schema)
	if err == nil && a.Schema == db.schema {
		var state *model.State
		state, err = c.state()
		db.state.Store(state)
	}
	return a, err
}

// openBolt hands f to bbolt, which closes it in the end. An empty file gets pages
// of pageSize bytes; 0 stands for the system's.
func openBolt(f *os.File, pageSize int) (bolt *bbolt.DB, err error) {
	err = guard(func() error {
		bolt, err = bbolt.Open(f.Name(), fileMode, &bbolt.Options{
			Timeout: DefaultLockTimeout, PageSize: pageSize,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	return bolt, err
}

// State implements [Store].
func (db *DB) State() *model.State { return db.state.Load() }

// view runs f on the state of the last transaction.
func (db *DB) view(f func(*bbolt.Tx) error) error {
	db.opening.RLock()
	defer db.opening.RUnlock()
	return guard(func() error { return db.bolt.View(f) })
}

// Close implements [Store]. Closing twice is no error.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	return explain(db.path, db.release(db.failed))
}

// release lets go of the file. Where bbolt has panicked it may hold locks that it
// would wait for; its memory map then stays until the process ends, and with it
// the file.
func (db *DB) release(why error) error {
	if errors.Is(why, ErrDamaged) {
		return cmp.Or(unlock(db.file), db.file.Close())
	}
	return db.bolt.Close()
}

// usable says why the store cannot be used any more. It is called with mu held.
func (db *DB) usable() error {
	if db.closed {
		return explain(db.path, os.ErrClosed)
	}
	return db.failed
}

// note explains an error of the file. After damage, the store only gets further
// away from what is on disk, so nothing more is done with it.
func (db *DB) note(err error) error {
	err = explain(db.path, err)
	if errors.Is(err, ErrDamaged) && db.failed == nil {
		db.failed = err
	}
	return err
}
