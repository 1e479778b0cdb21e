#!/bin/sh
# Runs a command as the user ann, who has no rights, in a root that stays as it is: user.sh ROOT HOME COMMAND
# It runs in namespaces of its own (mount, pid), so the kernel removes what it mounts.
set -eu
root=$1 home=$2 command=$3
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
for folder in dev home run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 tmp
mount -o remount,bind,ro "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
for device in full null random tty urandom zero; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
mkdir -m 1777 dev/shm
mkdir home/ann
mount --bind "$home" home/ann
# libvirt asks for the names of its user and group.
cp etc/passwd etc/group run
echo 'ann:x:1000:1000::/home/ann:/bin/sh' >> run/passwd
echo 'ann:x:1000:' >> run/group
for file in passwd group; do mount --bind "run/$file" "etc/$file"; done
exec env -i HOME=/home/ann PATH=/usr/local/bin:/usr/bin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels \
  "$(command -v chroot)" --userspec=1000:1000 . sh -c "cd /home/ann/source && $command"
