// Package wellformed says of texts from outside whether they are names or ids, and
// whether they are harmless to print, so that all who take some in take the same ones.
package wellformed

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// IDLen is the length of an id in hex digits, as of Docker's.
const IDLen = 64

// Limits of what the API takes and the state keeps, in bytes and in numbers.
const (
	MaxName         = 63
	MaxPath         = 4095 // PATH_MAX less the NUL
	MaxAliases      = 64   // of a port
	MaxRules        = 1024 // of a segment
	MaxAuxAddresses = 256  // of a segment
)

var (
	lowerHex = regexp.MustCompile(`^[0-9a-f]*$`)
	name     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

// ID says whether s is an id: 64 hex digits in lower case.
func ID(s string) bool { return len(s) == IDLen && LowerHex(s) }

// LowerHex says whether s is hex digits in lower case, or empty.
func LowerHex(s string) bool { return lowerHex.MatchString(s) }

// Name says whether s matches [A-Za-z0-9][A-Za-z0-9_.-]* within most bytes.
func Name(s string, most int) bool { return len(s) <= most && name.MatchString(s) }

// maxIfName is IFNAMSIZ less the NUL (include/uapi/linux/if.h).
const maxIfName = 15

// IfName says whether an interface in a container can be called s: as dev_valid_name has it
// (net/core/dev.c), which takes 0xa0 for a space inside UTF-8 as well, and neither "lo", which
// every namespace has already, nor with a '%', from which the kernel would make a name of its own.
func IfName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0xa0 || c == '/' || c == ':' || c == '%' {
			return false
		}
	}
	return s != "" && len(s) <= maxIfName && s != "." && s != ".." && s != "lo" && Printable(s)
}

// Printable says whether s is UTF-8 that leaves a terminal alone. JSON would change
// what is not UTF-8.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, Control)
}

// Control says whether a terminal may take r for more than a character of the line: the
// control characters C0 and C1 (ECMA-48), and Unicode's own ends of lines.
func Control(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// Clean returns s with '?' in the place of all that [Printable] does not let pass.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if Control(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Clip cuts s to its first line, and that to 80 bytes, for an error message.
func Clip(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return Cut(s, 80)
}

// Cut cuts s to so many bytes.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
