// Package counters keeps counters in memory that outlives the process which counts: in a file
// without a name (memfd_create(2)), mapped by that process, whose descriptor somebody else holds
// meanwhile. Counting costs what it costs in any memory, and a process that is killed loses
// nothing that it has counted.
//
// A [Table] has a block of counters for each thing that is counted, found by an [ID]. The file
// says what its counters are called, so that a process of another version, or with another number
// of threads, takes over those that both know. What it reads is checked, since anybody may have
// written it: a block that is not as it should be is none. Blocks do not move while the table
// grows.
//
// The package does not know what is counted.
package counters
