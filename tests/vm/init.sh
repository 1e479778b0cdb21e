#!/bin/sh
# Process 1 of the VM. It runs /mnt/command, writes its status to the second serial port, and ends the VM.
set -u
export HOME=/root PATH=/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
export TMPDIR=/mnt/tmp XDG_CACHE_HOME=/mnt/cache

mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/shm /dev/pts "$TMPDIR"
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
hostname vm

# Debian's own Python, with the packages of the tree's environment: the same minor version, see root.py.
for packages in /mnt/tree/.venv/lib/python3*/site-packages; do
  echo "import site; site.addsitedir('$packages')" > "$(python3 -c 'import site; print(site.getsitepackages()[0])')/tree.pth"
done

(cd /mnt/tree && exec sh /mnt/command) < /dev/null > /dev/ttyS0 2>&1
echo $? > /dev/ttyS1
# Powers off at once; process 1 must not end before.
echo o > /proc/sysrq-trigger
sleep 60
