#include "fusefs/options.h"

namespace acetate::fusefs {

absl::string_view HelpText() {
  return R"(fusefs: stacks directories and shows their sum as one filesystem, without root.

usage: fusefs [-f] -o lowerdir=A:B:...[,upperdir=U,workdir=W][,OPTION...] MOUNTPOINT
       fusefs [-f] --branches=A=rw:B=ro:C=rw... [--OPTION...] MOUNTPOINT
       fusefs branch MOUNTPOINT [list] [--json]
       fusefs branch MOUNTPOINT add DIR[=MODE] [--at=POSITION] | remove BRANCH | move BRANCH POSITION | mode BRANCH MODE
       fusefs whence MOUNTPOINT PATH [--json]
       fusefs stats MOUNTPOINT [--json]
       fusefs diff UPPER [--lowerdir=A:B] [--json]
       fusefs check UPPER [--workdir=W] [--lowerdir=A:B] [--repair] [--json]
       mount -t fuse.fusefs -o lowerdir=A:B:... fusefs MOUNTPOINT

The first directory is the topmost. Writable ones take all changes; the others are never written. Without a writable one
the mount is read-only. MOUNTPOINT may be /dev/fd/N: a fuse fd that the caller has mounted already.

branch lists and changes the branches of a mount in use: BRANCH is a directory or a position, POSITION a number from 0,
top or bottom. whence tells which layers show, merge or hide what is at PATH. These two and stats take --control=SOCKET
in the place of MOUNTPOINT.

  -f                 stay in the foreground
  -d                 stay in the foreground and log every request
  -o OPTION,...      options; each may also be given as --OPTION
  -h, --help         this text
  -V, --version      versions of fusefs and libfuse

options:
  lowerdir=A:B       read-only layers; a backslash takes the next ':', ',' or '\' as it is
  upperdir=U         the writable layer
  workdir=W          an empty directory on the filesystem of the writable layer; with --branches DIR/.NAME.work beside
                     each branch DIR/NAME, unless there is one and it is given
  branches=A=MODE:B  layers with modes: rw (any number, anywhere), ro (its whiteouts do not count), ro+wh (they do);
                     with +dotwh, whiteouts are .wh.NAME files: they count as well, and in rw+dotwh they are written
  create=POLICY      which of several writable layers takes new objects: ff (the topmost), tdp (the topmost that holds
                     the directory; the default), mfs (most free space), rr (in turn), pmfs (of those that hold the
                     directory, most free space)
  cpup=POLICY        which one above its source takes a copy: tdp (the topmost that holds the directory; the default),
                     bup (the nearest that does), bu (the nearest)
  udba=HOW           what is done about changes that others make in the layers: none (the default); reval (each lookup
                     and listing looks at the layers anew); notify (inotify tells of them, and the kernel is told)
  show_whiteouts     show whiteouts as character devices 0/0, in a union that cannot be changed (shwh is the same)
  dotwh              .wh.NAME files in the layers of lowerdir count as whiteouts
  whiteouts=HOW      write whiteouts as char (device 0/0), xattr, or auto: char where it is permitted
  userxattr[=auto]   keep overlay xattrs under user. instead of trusted.; auto (the default): when not privileged
  redirect_dir=off   renaming a directory that a lower layer has a part in is EXDEV; nofollow: nor are old ones followed
  metacopy=off       copy up whole files even where only attributes change
  lazy_copy_up_min=N copy files from N bytes on (8M) in the background once they are written; off: never
  index=off          hard links of a lower file part when one is changed
  uidmapping=STORED:SHOWN:COUNT[:...], gidmapping=...
                     show ids of the layers as others
  squash_to_root, squash_to_uid=UID, squash_to_gid=GID
                     show everything as owned by one user
  xattr_permissions=2
                     record owners, modes and devices in user.containers.override_stat instead of setting them; 1: in
                     security.fuseoverlayfs.override_stat, as root
  xattr=off          no extended attributes for applications
  sync=MODE          strict: what is renamed or copied up is on the disk at once; volatile: nothing is before the mount
                     ends, fsync is answered at once; auto (the default): what applications sync
  volatile           sync=volatile
  io=HOW             how requests come from the kernel: uring (through io_uring), threads, or auto: uring where libfuse
                     has it and /sys/module/fuse/parameters/enable_uring is Y
  timeout=SECONDS    how long the kernel may keep names and attributes (default: for ever; with udba=reval 0)
  writeback          let the kernel collect writes before it sends them
  passthrough        let the kernel read and write files of the writable layers by itself, and of a union that cannot be
                     changed all; for root, with Linux 6.9
  confine            with /dev/fd/N: give up, by Landlock, all but the layers; no branch can be added then
  control=PATH       the control socket (default: in the runtime directory, named after the mount)
  stats_fd=N         write the counters there, as 'fusefs stats --json' shows them, when the mount has ended
  allow_other, allow_root, ro, nosuid, nodev, noexec, noatime, fsname=NAME, max_read=N, max_write=N...
                     as for any FUSE mount, see mount.fuse3(8)

fusefs ends when it is unmounted (umount, or fusermount3 -u without root) or gets SIGTERM. Exit status: 0 mounted, or
with -f unmounted; 1 otherwise, with the reason in one line. More in fusefs(1).
)";
}

}  // namespace acetate::fusefs
