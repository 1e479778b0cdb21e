#!/bin/sh
# virt-launcher in small, for tests: launcher NAMESPACE NAME VMI-UID
#
# As KubeVirt's, it runs as user 107, starts libvirt and then its one domain, and ends when the domain ends, or with it
# at SIGTERM. Nothing boots in the VM: it is paused, which costs no CPU, and its VNC server works all the same.
set -eu
namespace=$1 name=$2 uid=$3
private=/var/run/kubevirt-private
domain=${namespace}_$name
graphics=$private/$uid

export HOME=$private LIBVIRT_DEFAULT_URI='qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock'
export XDG_RUNTIME_DIR=/var/run XDG_CONFIG_HOME=$private/conf XDG_CACHE_HOME=$private/cache XDG_DATA_HOME=$private/data
mkdir -p "$graphics" "$XDG_CONFIG_HOME/libvirt"
# There is no virtlogd.
echo 'stdio_handler = "file"' > "$XDG_CONFIG_HOME/libvirt/qemu.conf"
echo 'log_outputs = "3:stderr"' > "$XDG_CONFIG_HOME/libvirt/libvirtd.conf"

# KubeVirt's name for it, whichever daemon it is.
ln -sf libvirt-sock /var/run/libvirt/virtqemud-sock
libvirtd --config "$XDG_CONFIG_HOME/libvirt/libvirtd.conf" --pid-file "$private/libvirtd.pid" &
until virsh --quiet version > /dev/null 2>&1; do sleep 0.2; done

cat > "$private/domain.xml" << END
<domain type='qemu'>
  <name>$domain</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <graphics type='vnc'><listen type='socket' socket='$graphics/virt-vnc'/></graphics>
    <video><model type='vga'/></video>
  </devices>
</domain>
END
virsh --quiet define "$private/domain.xml"
virsh --quiet start --paused "$domain"
qemu=$(cat "/var/run/libvirt/qemu/run/$domain.pid")
echo "$domain runs"

trap 'kill "$qemu"' TERM
# This is process 1, whose `wait` takes note of QEMU's end as well.
while kill -0 "$qemu" 2> /dev/null; do
  sleep 0.2 &
  wait $! || true
done
echo "$domain has ended"
