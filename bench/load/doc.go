// Package load holds the helper programs of the benchmarks, which make load, measure it
// and, as the relay, carry it.
//
// Each runs in a process of its own ([Helper]), so that the harness's garbage collection
// and scheduling do not disturb what is measured. A task goes in as JSON in the arguments,
// and what the helper found, or [Ready], comes out as a line on standard output. A helper
// works in the namespace it is started in and in those of its [Endpoint]s; it makes no
// namespaces, and knows no peer and no scenario.
package load
