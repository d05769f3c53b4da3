#!/bin/sh
# Measures how long "docker run" takes on a vswitch network beside Docker's own bridge
# network, on an engine and a host of its own, and prints a table. ROUNDS is how often
# a container is started on each (20). What containers then reach is measured by
# vsbench run --peer bridge,docker. Needs root, and what scripts/deps.sh bench installs.
set -eu

rounds=${ROUNDS:-20}
bin=${BIN:-bin}
driver=vsbench$$
dir=$(mktemp -d)
host=vsbench$$
sock=unix://$dir/docker.sock

d() { docker -H "$sock" "$@"; }

cleanup() {
	# shellcheck disable=SC2046 # one word per container
	d rm -f $(d ps -aq) >/dev/null 2>&1 || true
	kill "$engine" "$switch" 2>/dev/null || true
	wait 2>/dev/null || true
	ip netns delete "$host" || true
	grep -o " $dir/[^ ]*" /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
	rm -rf "$dir" "/run/docker/plugins/$driver.sock.lock"
}
engine='' switch=''
trap cleanup EXIT

ip netns add "$host"
nsenter --net="/run/netns/$host" ip link set lo up
# Not by a function: $! is to be the program's.
nsenter --net="/run/netns/$host" "$bin/vswitchd" --socket "$dir/vs.sock" --state-dir "$dir/state" --docker --docker-socket "/run/docker/plugins/$driver.sock" \
	--docker-host "$sock" 2>"$dir/vswitchd.log" &
switch=$!
nsenter --net="/run/netns/$host" dockerd --data-root "$dir/data" --exec-root "$dir/exec" -H "$sock" -p "$dir/pid" --storage-driver vfs \
	--userland-proxy=false >"$dir/dockerd.log" 2>&1 &
engine=$!
until d version >/dev/null 2>&1; do
	kill -0 "$engine" || { cat "$dir/dockerd.log" >&2; exit 1; }
	sleep 0.2
done
mkdir -p "$dir/root/bin"
cp "$(command -v busybox)" "$dir/root/bin/busybox"
ln -s busybox "$dir/root/bin/true"
tar -C "$dir/root" -c . | d import - busybox:local >/dev/null
d network create -d bridge kernel >/dev/null
d network create -d "$driver" vswitch >/dev/null

# now is the time in microseconds.
now() { echo $(($(date +%s%N) / 1000)); }
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# One of each in turn, so that whatever else the machine does meets all alike.
i=0
while [ "$i" -le "$rounds" ]; do
	for network in none kernel vswitch; do
		before=$(now)
		d run --rm --network "$network" busybox:local true
		took=$(($(now) - before))
		[ "$i" -eq 0 ] || echo "$took" >>"$dir/run.$network" # the first of each warms up
	done
	i=$((i + 1))
done

none=$(median "$dir/run.none")
row() { awk -v name="$1" -v k="$2" -v v="$3" 'BEGIN { printf "| %s | %.0f | %.0f | %.2f |\n", name, k, v, (k > 0 ? v / k : 0) }'; }
echo "| | bridge | vswitch | ratio |"
echo "|---|---|---|---|"
row "docker run, ms (without a network: $(awk -v n="$none" 'BEGIN { printf "%.0f", n / 1000 }'))" \
	"$(median "$dir/run.kernel" | awk '{ print $1 / 1000 }')" "$(median "$dir/run.vswitch" | awk '{ print $1 / 1000 }')"
row "of that, added by the network, ms" \
	"$(median "$dir/run.kernel" | awk -v n="$none" '{ print ($1 - n) / 1000 }')" "$(median "$dir/run.vswitch" | awk -v n="$none" '{ print ($1 - n) / 1000 }')"
