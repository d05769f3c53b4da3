#!/usr/bin/env bash
# Linux 6.18, with iproute2 6.1.0-3 and perl-base 5.36.0-7+deb12u3 of Debian 12.
#
# ioctl SIOCGSKNS on a descriptor of /dev/net/tun returns a network namespace. One would
# expect that of the interface behind the descriptor, for it is the only way to ask. It is
# that in which the descriptor was opened (drivers/net/tun.c, tun_chr_open and
# __tun_chr_ioctl: the namespace of its socket), also after the interface was moved, and
# after the first namespace has lost its name: the descriptor keeps it alive. A tool that
# looks by it for the container of a TAP finds the place where the TAP was made.
#
# Seen:  opened in a: a
#        interface moved to b: a
#        name of a deleted, interface up in b: a namespace without a name, that of a
#
# Needs root. Ends with 1 if any of that is otherwise.
set -euo pipefail

packages="iproute2=6.1.0-3 perl-base=5.36.0-7+deb12u3"
work=$(mktemp -d)
a=find-ta-$$ b=find-tb-$$
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	ip netns del "$a" 2>/dev/null || true
	ip netns del "$b" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

cd "$work"
# The packages themselves, not what is installed.
# shellcheck disable=SC2086
apt-get -qq -o APT::Sandbox::User=root download $packages
for deb in ./*.deb; do dpkg-deb -x "$deb" root; done
PATH="$work/root/sbin:$work/root/usr/sbin:$work/root/bin:$work/root/usr/bin:$PATH"

ip netns add "$a"
ip netns add "$b"
cat >ask.pl <<'PERL'
# Constants of include/uapi/linux/if_tun.h and sockios.h; TAP without packet information.
my ($a, $b) = @ARGV;
my %inode = map { $_ => (stat "/run/netns/$_")[1] } ($a, $b);
my %name = ($inode{$a} => "a", $inode{$b} => "b");
sysopen(my $tun, "/dev/net/tun", 2) or die "open: $!";
ioctl($tun, 0x400454ca, my $ifr = pack("a16 S x22", "find0", 0x1002)) or die "TUNSETIFF: $!";
sub answer {
	my $ns = ioctl($tun, 0x894c, 0) or die "SIOCGSKNS: $!";
	open(my $fh, "<&=", $ns) or die "descriptor: $!";
	return $name{(stat $fh)[1]} // "another";
}
print "opened: ", answer(), "\n";
system("ip", "link", "set", "find0", "netns", $b) == 0 or die "move";
print "moved: ", answer(), "\n";
system("ip", "netns", "del", $a) == 0 or die "delete";
system("ip", "-n", $b, "link", "set", "find0", "up") == 0 or die "up";
print "deleted: ", answer(), "\n";
PERL
cp "$work/root/usr/bin/perl" perl
said=$(nsenter --net="/run/netns/$a" ./perl ask.pl "$a" "$b")
printf '%s\n' "$said"
[ "$said" = $'opened: a\nmoved: a\ndeleted: a' ]
