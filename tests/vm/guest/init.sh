#!/bin/sh
# The first program of the virtual machine. Leaves the root that the kernel unpacked, which nothing can be pivoted away
# from, for one that is like any other; mounts what belongs there, divides the cgroup tree and runs the cases, or leaves
# all three to systemd; switches the machine off.
# What the test reads are lines that begin with "case " or "guest "; see cases.sh.
export PATH=/bin
# What the firmware wrote ends here.
echo

if [ -d /new ]; then
  mount -t tmpfs -o mode=755 root /new
  for name in /*; do
    case $name in
      /new) ;;
      /proc | /sys | /dev) mkdir -p "/new$name" ;;
      *) cp -a "$name" /new ;;
    esac
  done
  exec switch_root /new /init
fi

# With systemd the cases are services; see systemd_vm_test.cc.
if [ -e /guest/systemd ]; then
  exec /usr/lib/systemd/systemd --unit=root-cases.service --show-status=0 --log-target=console --log-level=warning
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
sh /guest/prepare.sh

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

as() {  # USER ID CGROUP WORD...
  user=$1 id=$2 cgroup=$3
  shift 3
  sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec su -s /bin/sh "$@"' sh "/sys/fs/cgroup/$cgroup" "$user" -c \
    "export PATH=/bin HOME=/data/home/$id XDG_RUNTIME_DIR=/run/user/$id; cd; exec sh /guest/cases.sh $*"
}

as root 0 . root limits
as user 1000 user/shell user limits
as user 1000 user/shell user places smoke
as user 1000 crowd user crowded
as other 1001 others other undelegated
echo "guest done with all"
reboot -f
