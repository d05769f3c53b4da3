package programs

import (
	"flag"
	"testing"

	"vswitch/test/lab"
)

var update = flag.Bool("update", false, "write the table into the page")

func TestMain(m *testing.M) { lab.Main(m, lab.Build) }
