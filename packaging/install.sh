#!/bin/sh
# install.sh install|uninstall puts what make has built in BIN into DESTDIR/PREFIX
# and the configuration into DESTDIR/CONFDIR, or takes the same files away. The
# unit is written for the given version of systemd; empty is a new one.
set -eu

: "${BIN:?}" "${PREFIX:?}" "${CONFDIR:?}"
DESTDIR=${DESTDIR:-}
SYSTEMD=${SYSTEMD:-}
SYSTEMD=${SYSTEMD%%[!0-9]*}

programs="vswitchd vsctl vsbench"
config=$CONFDIR/vswitchd.toml
share=$PREFIX/share
man=$share/man
doc=$share/doc/vswitch

# files ACTION calls ACTION MODE SOURCE DESTINATION for each file but the manual
# and the configuration.
files() {
	"$1" 755 "$BIN/vswitchd" "$PREFIX/sbin/vswitchd"
	"$1" 755 "$BIN/vsctl" "$PREFIX/bin/vsctl"
	"$1" 755 "$BIN/vsbench" "$PREFIX/bin/vsbench"
	"$1" 644 "$BIN/vswitchd.service" "$PREFIX/lib/systemd/system/vswitchd.service"
	for program in $programs; do
		"$1" 644 "$BIN/completion/$program.bash" "$share/bash-completion/completions/$program"
		"$1" 644 "$BIN/completion/$program.zsh" "$share/zsh/site-functions/_$program"
		"$1" 644 "$BIN/completion/$program.fish" "$share/fish/vendor_completions.d/$program.fish"
	done
	for page in $(documents); do
		"$1" 644 "$page" "$doc/$page"
	done
}

# documents lists what is installed below $doc, as it is laid out in the repository, so that the
# links between the pages hold.
documents() {
	echo README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE api/openapi.yaml
	find docs examples -type f ! -name '*_test.go'
}

put() { install -D -m "$1" "$2" "$DESTDIR$3"; }

take() { rm -f "$DESTDIR$3"; }

write_unit() {
	sed -e "s|@SBINDIR@|$PREFIX/sbin|g" -e "s|@CONFDIR@|$CONFDIR|g" packaging/vswitchd.service.in |
		if [ "${SYSTEMD:-254}" -lt 254 ]; then
			sed '/^# systemd-254:/,/^$/d'
		else
			sed 's/^# systemd-254: and while it is stopped.*/# And while it is stopped, from systemd 254 on./'
		fi >"$BIN/vswitchd.service"
}

write_completions() {
	mkdir -p "$BIN/completion"
	for program in $programs; do
		for shell in bash zsh fish; do
			"$BIN/$program" completion "$shell" >"$BIN/completion/$program.$shell"
		done
	done
}

install_all() {
	write_unit
	write_completions
	files put
	for page in "$BIN"/man/man*/*; do
		put 644 "$page" "$man${page#"$BIN/man"}"
	done
	# The administrator's changes are kept.
	if [ -e "$DESTDIR$config" ]; then
		cmp -s packaging/vswitchd.toml "$DESTDIR$config" || echo "kept: $DESTDIR$config"
	else
		put 644 packaging/vswitchd.toml "$config"
	fi
	echo "installed into $DESTDIR$PREFIX"
}

uninstall_all() {
	files take
	rm -f "$DESTDIR$man/man8/vswitchd.8"
	for program in vsctl vsbench; do
		rm -f "$DESTDIR$man/man1/$program.1" "$DESTDIR$man/man1/$program"-*.1
	done
	if cmp -s packaging/vswitchd.toml "$DESTDIR$config"; then
		rm -f "$DESTDIR$config"
	elif [ -e "$DESTDIR$config" ]; then
		echo "kept, since it was changed: $DESTDIR$config"
	fi
	find "$DESTDIR$doc" -depth -type d -empty -delete 2>/dev/null || true
	rmdir "$DESTDIR$CONFDIR" 2>/dev/null || true
	echo "uninstalled from $DESTDIR$PREFIX"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 2
	;;
esac
