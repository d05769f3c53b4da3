#!/bin/sh
# fuzz.sh TIME: runs every fuzz target of every package for TIME each, one
# after the other, and names at the end those that failed.
set -eu

time=${1:?usage: fuzz.sh TIME, for example fuzz.sh 10s}
go=${GO:-go}

# `go test -list` prints a package's targets, then "ok <package>".
listing=$("$go" test -list '^Fuzz' ./...) || { echo "$listing" >&2; exit 1; }
targets=$(echo "$listing" | awk '
	/^Fuzz/ { names[++n] = $1 }
	$1 == "ok" { for (i = 1; i <= n; i++) print $2 "/" names[i]; n = 0 }')
[ -n "$targets" ] || { echo "no fuzz targets found" >&2; exit 1; }

failed=
for target in $targets; do
	echo "== $target"
	"$go" test -run '^$' -fuzz "^${target##*/}\$" -fuzztime "$time" "${target%/*}" || failed="$failed $target"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
