package peer

import (
	"testing"

	"vswitch/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
