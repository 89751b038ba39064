#!/bin/sh
# Makes the virtual machine ready for its cases: modules, a disk whose accesses can be weighed, the users' directories.
export PATH=/bin

mkdir -p /tmp /run /data
chmod 1777 /tmp
ip link set lo up
for module in fuse bfq loop; do insmod "/modules/$module.ko" || echo "guest lacks the module $module"; done
chmod 0666 /dev/fuse

truncate -s 128M /disk
losetup /dev/loop0 /disk
echo bfq >/sys/block/loop0/queue/scheduler
mke2fs -q /dev/loop0 >/dev/null 2>&1
mount -t ext4 /dev/loop0 /data || echo "guest lacks its disk"

for who in root:0 user:1000 other:1001; do
  id=${who#*:}
  mkdir -p "/data/home/$id"
  # systemd makes a user's by itself.
  [ -d "/run/user/$id" ] || mkdir -p "/run/user/$id"
  chmod 0700 "/run/user/$id"
  chown "$id:$id" "/data/home/$id" "/run/user/$id"
done
