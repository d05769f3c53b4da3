// Package load holds the helper programs of the benchmarks. They generate load, measure it
// and, as the relay, carry it.
//
// Each runs in a process of its own ([Helper]), so that the harness's garbage collection and
// scheduling do not disturb what is measured. It gets its task as JSON in its arguments and
// prints its result as JSON, or [Ready], to standard output. A helper works in the namespace
// that it is started in and in those of the endpoints of its task. It makes no namespaces and
// does not know which switch connects the endpoints.
package load
