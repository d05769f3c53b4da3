// Package lab is the one kit for tests and measurements on a real kernel.
//
// It has network namespaces that end with their test, programs that run beside one, vswitchd
// as a program with the host and the containers around it, packet sockets, ping(8), and checks
// that a test left nothing behind. In flow the programs that [Main] has built, out flows what a
// user of them would see; it never looks inside a daemon.
//
// Functions that return an error serve benchmarks too; what takes a testing.TB fails the test.
// Without root the tests that need it are skipped, and the skip says how to run them. As root
// nothing is skipped: what is missing fails the test and names the package to install.
package lab
