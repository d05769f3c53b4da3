#!/bin/sh
# docker-plugin.sh makes of the programs in BIN/docker-plugin/rootfs what
# "docker plugin create NAME BIN/docker-plugin" takes: config.json and rootfs.
set -eu

: "${BIN:?}"
plugin=$BIN/docker-plugin
rootfs=$plugin/rootfs

rm -f "$rootfs/vsbench"
# Where the engine mounts what config.json names, and what the programs expect.
for dir in dev proc sys tmp etc run/docker host/proc/sys/net var/lib/vswitch; do
	mkdir -p "$rootfs/$dir"
done
# The engine names namespaces by /var/run/docker/netns.
ln -sfn ../run "$rootfs/var/run"
cp packaging/docker-plugin.json "$plugin/config.json"
echo "$plugin: docker plugin create vswitch $plugin"
