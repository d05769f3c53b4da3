#!/usr/bin/env bash
# Linux 6.18, iproute2 6.1.0-3 and iputils-ping 3:20221126-1+deb12u1 of Debian 12.
#
# When ARP gets no answer, the kernel tells the local sender by an ICMP error that it sends
# to the sender's own address (net/ipv4/arp.c arp_error_report, net/ipv4/route.c
# ipv4_link_failure). That error is routed over the loopback interface. In a network
# namespace whose lo is down, as `ip netns add` leaves it, it is lost: ping says nothing
# instead of "Destination Host Unreachable", and a TCP connection to an address that no
# interface has waits for its own timeout, two minutes by default, instead of failing after
# three seconds with "No route to host".
#
# Seen:  lo down: ping silent, TCP still waiting after 6 s
#        lo up:   ping "Destination Host Unreachable", TCP "No route to host" after 3 s
#
# Needs root. Ends with 1 if any of that is otherwise.
set -euo pipefail

packages="iproute2=6.1.0-3 iputils-ping=3:20221126-1+deb12u1"
work=$(mktemp -d)
id=$$
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	ip netns del "find-a-$id" 2>/dev/null || true
	ip netns del "find-b-$id" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

cd "$work"
# The packages themselves, not what is installed.
# shellcheck disable=SC2086
apt-get -qq -o APT::Sandbox::User=root download $packages
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done
PATH="$work/root/sbin:$work/root/usr/sbin:$work/root/bin:$work/root/usr/bin:$PATH"

ip netns add "find-a-$id"
ip netns add "find-b-$id"
inside() { ip netns exec "find-a-$id" "$@"; }
inside ip link add v0 type veth peer name v1 netns "find-b-$id"
inside ip address add 10.9.0.1/24 dev v0
inside ip link set v0 up
ip netns exec "find-b-$id" ip link set v1 up

# connect prints what a TCP connection to an address that nobody has comes to in 6 s.
connect() {
	local said
	said=$(inside timeout 6 bash -c 'exec 3<>/dev/tcp/10.9.0.9/80' 2>&1 || true)
	case $said in
	*"No route to host"*) echo "No route to host" ;;
	*) echo "still waiting" ;;
	esac
}

status=0
expect() {
	if [ "$2" = "$3" ]; then
		printf '%-12s %s\n' "$1:" "$2"
	else
		printf '%-12s %s, want %s\n' "$1:" "$2" "$3"
		status=1
	fi
}

for lo in down up; do
	inside ip link set lo "$lo"
	inside ip neigh flush dev v0
	case $(inside ping -n -c 1 -W 5 10.9.0.9 || true) in
	*"Destination Host Unreachable"*) said="Destination Host Unreachable" ;;
	*) said=silence ;;
	esac
	inside ip neigh flush dev v0
	tcp=$(connect)
	case $lo in
	down) want=(silence "still waiting") ;;
	up) want=("Destination Host Unreachable" "No route to host") ;;
	esac
	expect "lo $lo, ping" "$said" "${want[0]}"
	expect "lo $lo, TCP" "$tcp" "${want[1]}"
done
exit $status
