#!/usr/bin/env bash
# iperf3 3.12-1+deb12u2 of Debian 12, on Linux 6.18.
#
# `iperf3 -s` serves one client after another, and one would expect it to keep its
# listening socket meanwhile. After each client it closes that socket and opens a new one
# (src/iperf_server_api.c: iperf_run_server, cleanup_server). A client that connects
# between the two is refused, or is reset when it waited in the old socket's backlog. A
# harness that runs clients one after another has to wait until the new socket listens;
# that the client before it has ended is not enough.
#
# Seen:  the listening socket before a client and the one after it have different inodes
#        three clients, three other sockets
#
# Needs root. Ends with 1 if the socket stays the same.
set -euo pipefail

packages="iperf3=3.12-1+deb12u2 libiperf0=3.12-1+deb12u2 libsctp1=1.0.19+dfsg-2"
work=$(mktemp -d)
ns=find-i-$$
server=
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	ip netns del "$ns" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

cd "$work"
# The packages themselves, not what is installed.
# shellcheck disable=SC2086
apt-get -qq -o APT::Sandbox::User=root download $packages
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libiperf.so.0')")
export LD_LIBRARY_PATH
iperf=$work/root/usr/bin/iperf3

ip netns add "$ns"
ip -n "$ns" link set lo up

# socket prints the inode of the socket that listens and is not $1, once there is one.
socket() {
	local inode
	for _ in $(seq 200); do
		inode=$(ip netns exec "$ns" ss -Htlne "sport = :5201" 2>/dev/null | grep -o 'ino:[0-9]*' || true)
		if [ -n "$inode" ] && [ "$inode" != "${1:-}" ]; then
			echo "$inode"
			return
		fi
		sleep 0.05
	done
	echo same
}

ip netns exec "$ns" "$iperf" -s >/dev/null 2>&1 &
server=$!

status=0
before=$(socket)
for client in 1 2 3; do
	ip netns exec "$ns" "$iperf" -c 127.0.0.1 -n 1M >/dev/null
	after=$(socket "$before")
	if [ "$after" = same ]; then
		echo "client $client: the server listens on the same socket, want another"
		status=1
		break
	fi
	echo "client $client: the server listens on another socket"
	before=$after
done
exit $status
