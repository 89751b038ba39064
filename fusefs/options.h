// What a user asked for: the mount as plain data, parsed from fusefs's command lines. Nothing here touches the
// filesystem; open_branches.h checks what the paths name. Parsing is pure and keeps no state, so any thread may call
// it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/id_mapping.h"

namespace acetate::fusefs {

enum class BranchMode { kReadOnly, kReadWrite };

// Which whiteouts a branch holds. kDotWh adds `.wh.NAME` and `.wh..wh..opq` files (AUFS, OCI layers unpacked as they
// are) to the encodings of kOverlay: character device 0/0 and the overlay xattrs.
enum class WhiteoutFormat { kOverlay, kDotWh };

// How a new whiteout is written. kAuto: a character device where the branch allows one, else an xattr.
enum class WhiteoutEncoding { kAuto, kCharDevice, kXattr };

// Prefix of the overlay xattrs: trusted.overlay. or user.overlay. kAuto: trusted when this process may write those.
enum class XattrNamespace { kAuto, kTrusted, kUser };

// Whether owners, modes and devices are recorded in an xattr of the writable layer, since the daemon may not set them:
// security.fuseoverlayfs.override_stat or user.containers.override_stat.
enum class OwnerRecords { kNone, kPrivileged, kUser };

// What reaches the disk when. kAuto: contents before a copy is published, and what applications sync. kStrict: also
// whatever is renamed, and its directories. kVolatile: nothing until the mount ends; a layer that was not unmounted is
// refused afterwards.
enum class SyncMode { kAuto, kStrict, kVolatile };

// Which of several writable branches takes a new object: the topmost; the one that holds its directory; the one with
// the most free space; each in turn; of those that hold its directory the one with the most free space.
enum class CreatePolicy { kFirst, kParent, kMostFreeSpace, kRoundRobin, kParentMostFreeSpace };

// Which of the writable branches above the source takes a copy: the topmost that holds its directory; the nearest that
// does; the nearest.
enum class CopyUpPolicy { kTopDownParent, kBottomUpParent, kBottomUp };

// What is done about changes that others make in the branches (AUFS's "user's direct branch access"): nothing, as
// overlayfs; every name is looked at anew whenever it is looked up; or they are noticed when they happen.
enum class Udba { kNone, kReval, kNotify };

// How requests come from the kernel: in rings shared with it (io_uring), or read by threads. kAuto: rings where there
// are any.
enum class Io { kAuto, kUring, kThreads };

struct BranchSpec {
  std::string path;  // as typed
  BranchMode mode = BranchMode::kReadOnly;
  bool count_whiteouts = true;
  WhiteoutFormat format = WhiteoutFormat::kOverlay;
  std::string workdir;        // empty exactly when it is not writable
  bool make_workdir = false;  // workdir was derived from the branch: make it when missing

  bool writable() const { return mode == BranchMode::kReadWrite; }
};

struct Options {
  std::vector<BranchSpec> branches;  // top first
  bool find_engine_layers = true;    // .wh. files count in layers of container engines (engine_layer.h)
  std::string mountpoint;            // a directory, or /dev/fd/N
  std::string control_path;          // empty: a socket in the runtime directory, named after the mount
  std::optional<unsigned> stats_fd;  // gets the counters when the mount has ended

  bool confine = false;  // the daemon gives up what it does not need (confine.h)
  bool foreground = false;
  bool debug = false;  // log every request; implies foreground

  // The union.
  XattrNamespace xattr_namespace = XattrNamespace::kAuto;
  WhiteoutEncoding write_whiteouts = WhiteoutEncoding::kAuto;
  Udba udba = Udba::kNone;
  bool show_whiteouts = false;  // as the devices that they are in overlayfs's layers; read-only
  CreatePolicy create_policy = CreatePolicy::kParent;
  CopyUpPolicy copy_up_policy = CopyUpPolicy::kTopDownParent;
  bool xattr_off = false;              // applications see no xattrs: GETXATTR is answered ENOSYS
  bool follow_redirects = true;        // what layers say of moved directories counts
  bool write_redirects = true;         // a directory that lower layers have a part in can be renamed
  bool index = true;                   // hard links of lower files are kept when one of them is copied up
  int64_t lazy_copy_up_min = 8 << 20;  // bytes from which a file is copied in the background; -1: never
  bool metacopy = true;                // a change of attributes alone copies no contents
  OwnerRules owners;                   // uidmapping, gidmapping, squash_to_*
  OwnerRecords owner_records = OwnerRecords::kNone;
  SyncMode sync = SyncMode::kAuto;
  bool skip_sync = false;  // fsync and its like succeed at once (sync=volatile, fsync=0)

  // The FUSE connection. 0 means that libfuse and the kernel choose.
  Io io = Io::kAuto;
  double timeout = 1e9;  // seconds the kernel may keep entries and attributes
  bool writeback = false;
  bool passthrough = false;  // the kernel reads and writes files of the branches by itself where it can
  unsigned max_read = 0;
  unsigned max_write = 0;
  unsigned max_readahead = 0;
  unsigned max_background = 0;
  unsigned congestion_threshold = 0;

  // The mount itself.
  bool allow_other = false;
  bool allow_root = false;                 // the mounting user and root only
  bool read_only = false;                  // `-o ro`
  std::string fsname = "fusefs";           // shown as the source of the mount
  std::string subtype = "fusefs";          // shown in its type, fuse.SUBTYPE
  std::vector<std::string> mount_options;  // for libfuse as they are: nosuid, noatime...

  // Whether the union is mounted so that it can be changed.
  bool can_change() const {
    return !read_only && std::any_of(branches.begin(), branches.end(), std::mem_fn(&BranchSpec::writable));
  }
};

// Whether the mountpoint is a fuse fd that the caller has mounted already.
bool IsMountedFd(absl::string_view mountpoint);

enum class Action { kMount, kStats, kBranch, kWhence, kDiff, kCheck, kHelp, kVersion };

struct CommandLine {
  Action action = Action::kMount;
  // Of kMount. Of kDiff and kCheck: the upper layer, marked so by its mode, the lower layers if they are named, the
  // work directory, and whose xattrs count.
  Options options;
  std::string mountpoint;  // of kStats, kBranch, kWhence; empty when options.control_path names the socket
  bool json = false;       // of all but kMount
  // Of kBranch: list, add, remove, move or mode. Of kBranch and kWhence: a directory, a branch's position, a path.
  std::string branch_verb;
  std::string path;
  std::string branch_mode;    // of add and mode
  int64_t position = 0;       // of add and move; -1: at the bottom
  bool format_given = false;  // of kDiff, kCheck: the upper layer's format is not to be found out
  bool repair = false;        // of kCheck
};

// Parses argv without argv[0]. An error is one line that names the option, its value and what to do about it.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args);

// The text of `fusefs --help`.
absl::string_view HelpText();

}  // namespace acetate::fusefs
