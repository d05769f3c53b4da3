#!/usr/bin/env bash
# Measures TCP from a container to the outside, through vswitch and through a bridge
# with the rules that Docker makes, in turn and in the same namespaces:
#
#   scripts/outside.sh [ROUNDS [SECONDS]]
#
# It needs root and bin/ (make build), and leaves nothing behind.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "outside: needs root for network namespaces" >&2
        exit 1
    fi
    status=0
    unshare --net --mount --propagation private --fork --kill-child -- "$0" inside "$@" || status=$?
    exit "$status"
fi
rounds=${2:-5} seconds=${3:-5}

cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH
dir=$(mktemp -d)
export VSWITCH_SOCKET=$dir/vswitchd.sock
pids=()

clean_up() {
    status=$?
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    [ "$status" -eq 0 ] || cat "$dir/log" >&2 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip link set lo up
for ns in outside vswitch docker; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
done

# The host's way out.
ip link add outer type veth peer name eth0 netns outside
ip address add 192.0.2.1/24 dev outer
ip link set outer up
ip -n outside address add 192.0.2.2/24 dev eth0
ip -n outside link set eth0 up

# What dockerd makes of one container on its default bridge.
ip link add docker0 type bridge
ip address add 10.200.0.1/24 dev docker0
ip link set docker0 up
ip link add veth0 type veth peer name eth0 netns docker
ip link set veth0 master docker0 up
ip -n docker address add 10.200.0.2/24 dev eth0
ip -n docker link set eth0 up
ip -n docker route add default via 10.200.0.1
iptables-restore <<'RULES'
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.200.0.0/24 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
RULES

vswitchd --state-dir "$dir/state" --socket "$VSWITCH_SOCKET" 2>"$dir/log" &
pids+=($!)
for _ in $(seq 100); do
    vsctl version >/dev/null 2>&1 && break
    sleep 0.1
done
vsctl add-port c1 --netns vswitch >/dev/null
ip netns exec outside iperf3 --server >/dev/null 2>&1 &
pids+=($!)
for ns in vswitch docker; do
    ip netns exec "$ns" ping -q -c 1 -W 5 192.0.2.2 >/dev/null
done

# measure NAMESPACE [--reverse]: Mbit/s of one stream.
measure() {
    ip netns exec "$1" iperf3 --client 192.0.2.2 --time "$seconds" --omit 1 --json "${@:2}" |
        awk '/"end":/ { end = 1 } end && /"sum_received":/ { sum = 1 } sum && /"bits_per_second":/ { printf "%.0f\n", $2 / 1e6; exit }'
}
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for direction in out in; do
    reverse=()
    [ "$direction" = out ] || reverse=(--reverse)
    for _ in $(seq "$rounds"); do
        for ns in vswitch docker; do
            measure "$ns" "${reverse[@]}" >>"$dir/$ns-$direction"
        done
    done
    v=$(median "$dir/vswitch-$direction") d=$(median "$dir/docker-$direction")
    echo "TCP $direction, one stream, median of $rounds: vswitch $v Mbit/s, Docker's bridge and NAT $d Mbit/s, ratio $(awk -v v="$v" -v d="$d" 'BEGIN { printf "%.2f", v / d }')"
done
