#!/bin/sh
# deb.sh makes a Debian package in BIN of the tree that make install has put into
# BIN/deb, by NFPM. VERSION is what git describe says.
set -eu

: "${BIN:?}" "${VERSION:?}" "${ARCH:?}" "${NFPM:?}" "${SOURCE_DATE_EPOCH:?}"

# debian_version orders as the commits do: v1.2.0-rc1, v1.2.0, v1.2.0-7-gabc1234.
# Before the first tag the number of commits does that.
debian_version() {
	described=${VERSION%-dirty}
	case $described in
	v[0-9]*) version=$(echo "${described#v}" | sed -E 's/-([0-9]+)-g([0-9a-f]+)$/+\1.g\2/; s/-/~/g') ;;
	dev) version=0~dev ;;
	*) version=0~$(git rev-list --count HEAD).g$described ;;
	esac
	[ "$VERSION" = "$described" ] || version=$version+dirty
	echo "$version"
}

# write_changelog is one entry: the history is in git.
write_changelog() {
	date=$(LC_ALL=C TZ=UTC date -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S %z')
	printf 'vswitch (%s) unstable; urgency=medium\n\n  * Built from %s.\n\n -- %s  %s\n' \
		"$DEB_VERSION" "$VERSION" "$DEB_MAINTAINER" "$date"
}

DEB_VERSION=$(debian_version)
DEB_MAINTAINER=${MAINTAINER:-$(git log -1 --format='%an <%ae>' 2>/dev/null || echo 'vswitch <root@localhost>')}
DEB_ARCH=$ARCH
STAGE=$BIN/deb
export DEB_VERSION DEB_MAINTAINER DEB_ARCH STAGE SOURCE_DATE_EPOCH

doc=$STAGE/usr/share/doc/vswitch
rm -f "$doc/LICENSE" # Debian has it in common-licenses
install -m 644 packaging/deb/copyright "$doc/copyright"
write_changelog | gzip -9n >"$doc/changelog.gz"
find "$STAGE/usr/share/man" -type f ! -name '*.gz' -exec gzip -9n {} +

rm -f "$BIN"/vswitch_*_*.deb
"$NFPM" package --config packaging/nfpm.yaml --packager deb --target "$BIN/"
