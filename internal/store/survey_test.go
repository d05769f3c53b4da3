package store

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"vswitch/internal/control/model"

	"go.etcd.io/bbolt"
)

// damage is what an image has at an offset instead of what was written there.
type damage struct {
	At   int
	Data []byte
}

func (d damage) in(image []byte) []byte {
	image = bytes.Clone(image)
	copy(image[d.At:], d.Data)
	return image
}

// inspection is the work of a child that inspects many images itself, instead of a child for
// each. One that it does not survive has damage that is found.
type inspection struct {
	Image   []byte
	Damages []damage
	Want    model.Records
}

// surveyFile is the environment variable that makes the test binary such a child. It names
// the file of its inspection; surveyFrom says where to begin.
const (
	surveyFile = "VSWITCH_STORE_SURVEY_FILE"
	surveyFrom = "VSWITCH_STORE_SURVEY_FROM"
)

// surveyed is how many images a child inspects at most: what it finds damaged stays mapped.
const surveyed = 2000

// survey wants that each of the damages to an image is found, or does no harm. It returns how
// many are found.
func survey(t *testing.T, image []byte, damages []damage, want model.Records) (found int) {
	t.Helper()
	var encoded bytes.Buffer
	must(t, gob.NewEncoder(&encoded).Encode(inspection{image, damages, want}))
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer f.Close()
	_, err = f.Write(encoded.Bytes())
	must(t, err)
	died := -1
	for n := 0; n < len(damages); {
		more := surveyFromOn(t, f.Name(), n, func(verdict string) {
			switch verdict {
			case "found":
				found++
			case "harmless":
			default:
				t.Fatalf("%d bytes at %d: %s", len(damages[n].Data), damages[n].At, verdict)
			}
			n++
		})
		if more {
			continue
		}
		if died == n { // not in the check of another one that was still under way
			found++
			n++
		}
		died = n
	}
	return found
}

// surveyFromOn runs a child that begins with damage n and returns whether it ended by itself.
func surveyFromOn(t *testing.T, file string, n int, each func(verdict string)) bool {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), quickExit, surveyFile+"="+file, fmt.Sprintf("%s=%d", surveyFrom, n))
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		each(lines.Text())
	}
	return child.Wait() == nil
}

// surveyChild prints a verdict for each damage.
func surveyChild(file string) {
	limitCheck(0)
	var work inspection
	var from int
	f, err := os.Open(file)
	if err == nil {
		err = gob.NewDecoder(f).Decode(&work)
	}
	if err == nil {
		_, err = fmt.Sscan(os.Getenv(surveyFrom), &from)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, d := range work.Damages[from:min(from+surveyed, len(work.Damages))] {
		image := d.in(work.Image)
		switch got, err := readState(image); {
		case errors.Is(err, ErrDamaged):
			fmt.Println("found")
		case err != nil:
			fmt.Printf("%v is no ErrDamaged\n", err)
		case !sameState(got, work.Want):
			fmt.Printf("goes unnoticed and gives %+v\n", got)
		default:
			if err := use(image, clone(work.Want)); err != nil {
				fmt.Printf("goes unnoticed, and then: %v\n", err)
			} else {
				fmt.Println("harmless")
			}
		}
	}
}

// use makes changes to all parts of an image that was found sound, and wants bbolt to find
// nothing wrong with it in the end.
func use(image []byte, want model.Records) error {
	f, err := copyToMemory(bytes.NewReader(image))
	if err != nil {
		return err
	}
	bolt, err := openBolt(f, 0)
	if err != nil {
		return err
	}
	defer bolt.Close()
	db := &DB{path: pathOf(f), file: f, bolt: bolt, commit: (*bbolt.Tx).Commit, schema: Options{}.schema()}
	err = db.view(func(tx *bbolt.Tx) error {
		state, err := stateOf(tx, db.schema)
		db.state.Store(state)
		return err
	})
	if err != nil {
		return err
	}
	for n := range 4 {
		want.Ports = append(want.Ports, aPort(200+n, 1))
		changes := []model.Change{model.PutPort(aPort(200+n, 1))}
		for i := range want.Ports {
			want.Ports[i].Labels = map[string]string{"note": strings.Repeat("x", n*(100+i))}
			changes = append(changes, model.PutPort(want.Ports[i]))
		}
		if err := db.Apply(changes...); err != nil {
			return err
		}
	}
	gone := want.Ports[0].ID
	want.Ports = want.Ports[1:]
	want.Entries = slices.DeleteFunc(want.Entries, func(e model.Entry) bool { return e.PortID == gone })
	if err := db.Apply(model.DeletePort(gone)); err != nil {
		return err
	}
	return bolt.View(func(tx *bbolt.Tx) error {
		got, err := stateOf(tx, db.schema)
		if err != nil {
			return err
		}
		if !sameState(got.Records(), want) {
			return fmt.Errorf("the state is\n%+v, want\n%+v", got.Records(), want)
		}
		return <-tx.Check()
	})
}
