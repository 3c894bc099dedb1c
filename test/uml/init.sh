#!/bin/sh
# The first process inside user-mode-linux (see run.sh): mounts, modules, one command, its exit status, power off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
job=$(argument umljob)
tree=$(argument umltree)
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/job /run/netns /run/m/lib
mount -t hostfs hostfs /run/job -o "$job"
mount -t tmpfs tmpfs /tmp
if [ ! -d "$tree" ]; then # the checkout is in one of the folders that were just covered
  mkdir -p "$tree"
  mount -r -t hostfs hostfs "$tree" -o "$tree"
fi
grep -q ' /dev devtmpfs ' /proc/mounts || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
export HOME=/run TMPDIR=/tmp
ln -s /usr/lib/uml/modules /run/m/lib/modules
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/m "$@"\n' >/run/modprobe # what the kernel itself asks for
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
{
  ip link set lo up
  sh /run/job/command
} >/run/job/log 2>&1 </dev/null
echo $? >/run/job/status
sync
halt -f -p
