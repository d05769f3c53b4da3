#!/usr/bin/env bash
# The story of vswitch on this machine's kernel, with the commands it takes: two
# containers on the default segment reach each other, a third on a segment of its
# own does not reach them, and the switch says why.
#
# All of it happens in a network and a mount namespace of the demo's own, so
# nothing of the machine's is touched and nothing is left, however the demo ends.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "demo: needs root for network namespaces: run sudo make demo" >&2
        exit 1
    fi
    # Not exec: an interrupt must find this shell waiting for the story's end.
    status=0
    unshare --net --mount --propagation private --fork --kill-child -- "$0" inside || status=$?
    exit "$status"
fi

cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH
dir=$(mktemp -d)
export VSWITCH_SOCKET=$dir/vswitchd.sock
daemon=

clean_up() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || status=$?
    fi
    [ "$status" -eq 0 ] || cat "$dir/log" >&2 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
say() { printf '\n%s\n' "$1"; }
show() { printf '%s# %s%s\n' "$bold" "$*" "$plain"; }
run() { show "$@"; "$@"; }
fail() { printf 'demo: NOT so: %s\n' "$1" >&2; exit 1; }

# ping_expect LOSS NAMESPACE ADDRESS: three echo requests, of which LOSS % get lost.
ping_expect() {
    show ip netns exec "$2" ping -c 3 -i 0.3 -W 1 "$3"
    ip netns exec "$2" ping -c 3 -i 0.3 -W 1 "$3" | tee "$dir/ping" || true
    grep -q " $1% packet loss" "$dir/ping" || fail "$1% packet loss from $2 to $3"
}

mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip link set lo up

say "Three containers, each a network namespace, and the daemon:"
for c in c1 c2 c3; do run ip netns add "$c"; done
show "vswitchd --stop-removes-ports &"
vswitchd --stop-removes-ports --socket "$VSWITCH_SOCKET" --state-dir "$dir/state" >"$dir/log" 2>&1 &
daemon=$!
until vsctl version >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || fail "vswitchd runs"
    sleep 0.05
done

say "Two of them on the default segment, addresses given automatically:"
run vsctl add-port container1 --netns c1
run vsctl add-port container2 --netns c2
run vsctl list-ports
run ip -n c1 -brief address show eth0

say "They reach each other, both ways:"
ping_expect 0 c1 172.17.0.3
ping_expect 0 c2 172.17.0.2

say "The host has the gateway's address, and reaches them too:"
show ping -c 3 -i 0.3 -W 1 172.17.0.2
ping -c 3 -i 0.3 -W 1 172.17.0.2 || fail "the host reaches c1"
ping_expect 0 c1 172.17.0.1

say "What the segment knows of them:"
run vsctl inspect bridge

say "A second segment takes the next pool; the third container goes there:"
run vsctl add-segment my_bridge
run vsctl add-port container3 --netns c3 --segment my_bridge
run vsctl list-segments
ping_expect 0 c3 172.18.0.1

say "Across segments nothing passes, either way:"
ping_expect 100 c3 172.17.0.2
ping_expect 100 c1 172.18.0.2

say "And the switch can say why:"
run vsctl stats
show vsctl stats container3 --format "'{{index .Counters.Drops \"cross-segment\"}}'"
dropped=$(vsctl stats container3 --format '{{index .Counters.Drops "cross-segment"}}')
echo "$dropped"
[ "$dropped" -ge 3 ] || fail "at least 3 frames of container3 counted as cross-segment, not $dropped"

say "The daemon ends and takes its links along:"
show "kill %1"
kill "$daemon"
wait "$daemon" || fail "vswitchd exits with status 0"
daemon=
if ip -n c1 link show eth0 2>/dev/null; then fail "eth0 is gone from c1"; fi
echo "All of it was so."
