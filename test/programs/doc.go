// Package programs holds docs/programs.md to what is true: which programs and protocols a port
// of vswitch lets pass at each level of security, and which option lets pass what it refuses.
//
// A row of the page is frames as a program sends them, or a program or the kernel itself at
// work, on a vswitch and on the kernel's bridge. The option is not written down anywhere: it is
// what "vsctl stats" says of the frames that were refused, given to the living port until the
// row works. The test fails when the page says something else.
//
//	go test ./test/programs -args -update    # writes the page's table
package programs
