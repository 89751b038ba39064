#!/bin/sh
# The first program of the virtual machine. Leaves the root that the kernel unpacked, which nothing can be pivoted away
# from, for one that is like any other; prepares users, devices and cgroups; runs the cases; switches the machine off.
# What the test reads are lines that begin with "case " or "guest "; see cases.sh.
export PATH=/bin

if [ -d /new ]; then
  mount -t tmpfs -o mode=755 root /new
  cp -a /bin /etc /guest /home /image /init /lib /lib64 /modules /root /usr /new 2>/dev/null
  exec switch_root /new /init
fi

mkdir -p /proc /sys /dev /tmp /run /data
chmod 1777 /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
for module in fuse bfq loop; do insmod "/modules/$module.ko" || echo "guest lacks the module $module"; done
chmod 0666 /dev/fuse

# A disk, whose accesses can be weighed.
truncate -s 128M /disk
losetup /dev/loop0 /disk
echo bfq >/sys/block/loop0/queue/scheduler
mke2fs -q /dev/loop0 >/dev/null 2>&1
mount -t ext4 /dev/loop0 /data || echo "guest cannot mount its disk"

# What root does to delegate a part of the tree: the user owns the directory and the files by which it is divided.
delegate() {
  mkdir -p "$1"
  chown "$2:$2" "$1" "$1/cgroup.procs" "$1/cgroup.threads" "$1/cgroup.subtree_control"
}
cd /sys/fs/cgroup || exit 1
echo '+cpu +cpuset +io +memory +pids' >cgroup.subtree_control
delegate user 1000
delegate user/shell 1000
delegate user/solo 1000
delegate crowd 1000
mkdir others
cd / || exit 1

for who in root:0 user:1000 other:1001; do
  id=${who#*:}
  mkdir -p "/data/home/$id" "/run/user/$id"
  chown "$id:$id" "/data/home/$id" "/run/user/$id"
  chmod 0700 "/run/user/$id"
done

as() {  # USER ID CGROUP WORD...
  user=$1 id=$2 cgroup=$3
  shift 3
  sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec su -s /bin/sh "$@"' sh "/sys/fs/cgroup/$cgroup" "$user" -c \
    "export PATH=/bin HOME=/data/home/$id XDG_RUNTIME_DIR=/run/user/$id; cd; exec sh /guest/cases.sh $*"
}

echo "guest kernel $(uname -r)"
as root 0 . root limits
as user 1000 user/shell user limits
as user 1000 user/shell user places smoke
as user 1000 crowd user crowded
as other 1001 others other undelegated
echo "guest done"
reboot -f
