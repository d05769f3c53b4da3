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
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in $targets; do
	echo "== $target"
	"$go" test -run '^$' -fuzz "^${target##*/}\$" -fuzztime "$time" "${target%/*}" >"$log" 2>&1 && ok=yes || ok=
	cat "$log"
	# When the time is over, Go before 1.27 may report just that as a failure
	# (go.dev/issue/75804); a finding names the input that it has written.
	if [ -z "$ok" ] && { grep -q 'Failing input written' "$log" || ! grep -q '^ *context deadline exceeded$' "$log"; }; then
		failed="$failed $target"
	fi
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
