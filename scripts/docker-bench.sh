#!/bin/sh
# Measures Docker containers on a vswitch network beside the same on Docker's own
# bridge network, on an engine and a host of its own, and prints a table. ROUNDS is
# how often containers are started (20), SECONDS_EACH how long a stream lasts (5).
# Needs root, and what scripts/deps.sh test installs.
set -eu

rounds=${ROUNDS:-20}
seconds=${SECONDS_EACH:-5}
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
ln -s busybox "$dir/root/bin/sleep"
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

for network in kernel vswitch; do
	for name in a b; do
		d run -d --name "$network-$name" --network "$network" busybox:local sleep 100000 >/dev/null
	done
done
namespace() { d inspect -f '{{.NetworkSettings.SandboxKey}}' "$1"; }
address() { d inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
# measure NETWORK writes the round trip in µs and a stream's Mbit/s.
measure() {
	from=$(namespace "$1-a") to=$(address "$1-b")
	nsenter --net="$from" ping -q -c 500 -i 0.003 "$to" | awk -F '[/ ]' '/^rtt/ { print $8 * 1000 }' >"$dir/ping.$1"
	nsenter --net="$(namespace "$1-b")" iperf3 -s -1 >/dev/null 2>&1 &
	server=$!
	until nsenter --net="$(namespace "$1-b")" ss -Hltn 'sport = :5201' | grep -q .; do sleep 0.05; done
	nsenter --net="$from" iperf3 -c "$to" -t "$seconds" -f m | awk '/receiver/ { print $7 }' >"$dir/tcp.$1"
	wait "$server"
}
measure kernel
measure vswitch

none=$(median "$dir/run.none")
row() { awk -v name="$1" -v k="$2" -v v="$3" 'BEGIN { printf "| %s | %.0f | %.0f | %.2f |\n", name, k, v, (k > 0 ? v / k : 0) }'; }
echo "| | bridge | vswitch | ratio |"
echo "|---|---|---|---|"
row "docker run, ms (without a network: $(awk -v n="$none" 'BEGIN { printf "%.0f", n / 1000 }'))" \
	"$(median "$dir/run.kernel" | awk '{ print $1 / 1000 }')" "$(median "$dir/run.vswitch" | awk '{ print $1 / 1000 }')"
row "of that, added by the network, ms" \
	"$(median "$dir/run.kernel" | awk -v n="$none" '{ print ($1 - n) / 1000 }')" "$(median "$dir/run.vswitch" | awk -v n="$none" '{ print ($1 - n) / 1000 }')"
row "ping every 3 ms, round trip, µs" "$(cat "$dir/ping.kernel")" "$(cat "$dir/ping.vswitch")"
row "TCP, one stream, Mbit/s" "$(cat "$dir/tcp.kernel")" "$(cat "$dir/tcp.vswitch")"
