#!/bin/sh
# Debian has the monolithic daemon alone: this is it, found by the names that KubeVirt starts and dials.
runtime=/run/libvirt
[ "$(id -u)" = 0 ] || runtime=${XDG_RUNTIME_DIR:-/run}/libvirt
mkdir -p "$runtime"
ln -sfn libvirt-sock "$runtime/virtqemud-sock"
ln -sfn libvirt-admin-sock "$runtime/virtqemud-admin-sock"
exec /usr/sbin/libvirtd "$@"
