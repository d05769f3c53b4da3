// Package lab is what tests of the real kernel stand on: namespaces that
// end with their test, checks that the machine can run the test at all, and a
// check that the test left nothing behind. Only tests and benchmarks use it.
//
// Without root the tests that need it are skipped, and the skip says how to run
// them. As root nothing is skipped: what is missing fails the test and names
// the package to install.
package lab
