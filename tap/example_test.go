package tap_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"testing"

	"vswitch/tap"
	"vswitch/test/lab"
)

// Create makes a TAP device in the network namespace of the calling thread, which takes
// CAP_NET_ADMIN. Its link is down; when the device is closed, the link ends. Package
// vswitch/tap/poller has a switch read and write the device.
func Example() {
	d, err := tap.Create("tap0", tap.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	fmt.Println(d.Name(), "may deliver TCP super-frames:", d.Offloads().Has(tap.TSO4))

	_, err = tap.Create("tap0", tap.Options{})
	fmt.Println("a second one of the name:", errors.Is(err, os.ErrExist))
	// Prints:
	// tap0 may deliver TCP super-frames: true
	// a second one of the name: true
}

func ExampleOffloads_String() {
	fmt.Println(tap.Checksum | tap.TSO4 | tap.TSO6)
	// Output: csum,tso4,tso6
}

// TestExample runs Example, which takes root and a namespace of its own, and holds it to what it
// says that it prints.
func TestExample(t *testing.T) {
	ns := lab.NewQuietNamespace(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	ns.Do(Example)
	os.Stdout = stdout
	write.Close()
	got, err := io.ReadAll(read)
	want := "tap0 may deliver TCP super-frames: true\na second one of the name: true\n"
	if err != nil || string(got) != want {
		t.Errorf("the example prints %q, %v; want %q", got, err, want)
	}
}
