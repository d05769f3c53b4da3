// Package deptest holds the import rules of the project as data and checks the
// sources against them, so that a forbidden import fails the tests with the
// reason why it is forbidden.
//
// It reads the import clauses of all Go files but tests, whatever their build
// constraints; it neither builds nor runs anything.
package deptest
