#!/bin/sh
# Makes sure that the system programs are there which the demo needs and, with
# the argument "test", those that the tests need, with "engines" also those that
# the tests with container engines need, with "programs" also those of other
# projects that docs/programs.md is about, or with "bench" the switches that the
# benchmark compares with. Says nothing when there is nothing to do. As root on Debian or Ubuntu it installs what is missing; elsewhere it
# names the missing packages and fails.
set -eu

# Programs of the administrator are not in every user's PATH.
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/frr

missing=
# need COMMAND PACKAGE...
need() {
	command -v "$1" >/dev/null 2>&1 && return
	shift
	missing="$missing $*"
}

need ip iproute2
need ping iputils-ping
need iperf3 iperf3
need nsenter util-linux
need ethtool ethtool
need socat socat
case ${1:-} in
test | engines | programs)
	need nft nftables               # the tests look at the rules with it; vswitchd does without
	need iptables iptables          # another firewall
	need "${CC:-gcc}" gcc libc6-dev # the race detector links with it
	need strace strace              # it makes system calls fail
	need systemd-analyze systemd    # it checks the unit, also where it does not run
	need busybox busybox-static     # what containers run, and what small images resolve and lease with
	need arping iputils-arping      # it looks for an address twice
	need dig bind9-dnsutils
	;;
esac
if [ "${1:-}" = engines ]; then
	need dockerd docker.io
	need docker-compose docker-compose # it runs the example
fi
if [ "${1:-}" = programs ]; then
	need keepalived keepalived
	need lldpd lldpd
	need ptp4l linuxptp
	need isisd frr
	need dhclient isc-dhcp-client
	need dhcpcd dhcpcd5
	need pppoe-server pppoe
fi
if [ "${1:-}" = bench ]; then
	need ovs-vswitchd openvswitch-switch
	need vde_switch vde2
	need dockerd docker.io
	need busybox busybox-static    # what containers run
	need iptables-restore iptables # scripts/outside.sh makes Docker's rules with it
fi

[ -n "$missing" ] || exit 0
missing=${missing# }

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "missing packages: $missing (Debian's names); install them, or run as root on Debian or Ubuntu: make deps" >&2
	exit 1
fi

log=$(mktemp)
policy=
trap 'rm -f "$log" ${policy:+"$policy"}' EXIT

# The benchmark runs Open vSwitch, and the tests Docker, in namespaces of their own;
# the services that the packages bring would take part in the machine's network.
# While packages are installed this policy keeps invoke-rc.d(8) from starting any.
forbid_services() {
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}
# disable_services keeps them from starting at the next boot.
disable_services() {
	for service in $services; do
		if command -v systemctl >/dev/null 2>&1; then
			systemctl disable --now "$service.socket" >/dev/null 2>&1 || true # where it has one
			systemctl disable --now "$service.service" >/dev/null 2>&1 || true
		elif [ -x "/etc/init.d/$service" ]; then
			{ "/etc/init.d/$service" stop && update-rc.d "$service" disable; } >/dev/null 2>&1 || true
		fi
	done
}

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
		-o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1
}
install() {
	# shellcheck disable=SC2086 # one word per package
	apt install --no-install-recommends $missing
}

services=
for package in $missing; do
	case $package in
	openvswitch-switch | keepalived | lldpd | frr) services="$services $package" ;;
	dhcpcd5) services="$services dhcpcd" ;;
	docker.io) services="$services docker containerd" ;;
	esac
done
[ -z "$services" ] || forbid_services
echo "installing packages: $missing"
# The package lists may be absent or stale: fetch them only then.
if ! install && ! { apt update && install; }; then
	cat "$log" >&2
	echo "packages could not be installed: $missing" >&2
	exit 1
fi
if [ -n "$services" ]; then
	disable_services
fi
