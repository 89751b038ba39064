// The plan of one launch: everything decided, nothing done. It is plain data in three lists, by who carries them out:
//
//   host       the launcher itself, in the host's namespaces (host_steps.h); each step can be undone
//   helper     a process in the container's user namespace and a mount namespace of its own (helper.h)
//   container  PID 1 of the container, between fork and exec (init.h), which only reads the plan
//
// Every step says in one line what it does; the same line is what --explain prints and what names a step that failed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/cgroup_plan.h"
#include "launcher/identity.h"
#include "launcher/image.h"
#include "launcher/network.h"
#include "launcher/protocol.h"
#include "launcher/seccomp_filter.h"
#include "launcher/spec.h"
#include "launcher/store.h"

namespace acetate::launcher {

// ---- what the launcher does on the host

struct MakeStoreDirectory {};
struct WriteRecord {};
struct ClaimName {};
struct MakeContainer {};
struct MakeRuntimeDirectory {};
// Those of /etc that the network makes, in the runtime directory.
struct WriteEtcFiles {};
// A unit of systemd's, with this process in it, of which the container's cgroup is to be a part.
struct StartScope {
  std::string unit;
  std::string directory;  // the cgroup that it is to have
};
// This process, and those that it started, leave their cgroup for a new one below, so that it can pass controllers on.
struct StepAside {
  std::string leaf;
};
// Makes sure that no other container gets its subordinate ids.
struct TakeIds {
  std::string runtime_root;
  IdSlice slice;
};
struct MakeCgroupDirectory {
  std::string path;
};
struct EnableControllers {
  std::string file;
  std::string controllers;
};
struct WriteLimit {
  CgroupLimit limit;
};
using HostAction =
    std::variant<MakeStoreDirectory, WriteRecord, ClaimName, MakeContainer, MakeRuntimeDirectory, WriteEtcFiles,
                 TakeIds, StartScope, StepAside, MakeCgroupDirectory, EnableControllers, WriteLimit>;

// ---- what the helper does

struct MapIds {};
// Instead, where there is no user namespace: mounts made from here on are not the host's.
struct LeaveHostsMounts {};
struct MountUnion {
  std::vector<std::pair<std::string, std::string>> options;  // of fsconfig(2); an empty value is a flag
  unsigned attributes = 0;                                   // MOUNT_ATTR_*
};
// The socket that other commands reach the container by, and the log of its session.
struct Listen {};
struct OpenLog {};
struct StartDaemon {
  std::vector<std::string> words;  // fusefs's argv; the helper adds /dev/fd/N
};
struct StartInit {
  uint64_t namespaces = 0;  // CLONE_NEW*
};
using HelperAction = std::variant<MapIds, LeaveHostsMounts, MountUnion, Listen, OpenLog, StartDaemon, StartInit>;

// ---- what PID 1 does

// Waits until the ids of the container's own user namespace are mapped, and becomes its root, if it has one.
struct EnterOwnIds {
  bool become_root = false;
};
// Enters the namespaces of a container that runs, all but those that its forking process has entered.
struct JoinNamespaces {};
// Gives the helper fds of its namespaces, for commands that are to join them later.
struct HandOutNamespaces {};
// Joins the cgroups that it is not born in (v1), through fds that the launcher opened.
struct JoinCgroups {};
struct NewCgroupNamespace {};
struct BringUpLoopback {};
struct SetHostname {
  std::string name;
};
// Attaches the union, makes it the root and lets go of the host's tree. All sources of mounts have been opened before.
struct SwitchRoot {
  std::string at;  // directory of the host's tree to attach at on the way
};
// A new filesystem on a directory of the container; made when missing, refused when a symlink leads there.
struct MountFilesystem {
  std::string type;
  std::string target;
  uint64_t attributes = 0;  // MOUNT_ATTR_*
  std::vector<std::pair<std::string, std::string>> options;
};
// The host's /sys with all below it, read-only: the kernel gives one of its own only to an own network namespace.
struct ShowHostSys {};
// A file of the host on one in the container's /etc; a link there that leads nowhere is replaced.
struct ShowEtcFile {
  std::string source;
  std::string name;
};
// Waits until the helper says that the network is there.
struct AwaitNetwork {};
// The host's device node of that name on a new file in the container's /dev.
struct BindDevice {
  std::string name;
  unsigned major = 0;
  unsigned minor = 0;
};
struct MakeSymlink {
  std::string target;
  std::string link;
};
// Covers a path with /dev/null, or with an empty read-only directory. A path that this kernel lacks is passed over.
struct MaskPath {
  std::string path;
};
struct MakeReadOnly {
  std::string path;
};
struct BindVolume {
  Volume volume;
  bool no_devices = false;  // device nodes in it cannot be opened
};
struct BindHostDevice {
  Device device;
};
// A terminal of the container's own devpts; the helper gets both ends.
struct MakeTerminal {
  WindowSize size;
  bool is_console = false;  // shown as /dev/console
};
struct SetUlimit {
  Ulimit limit;
};
// The root's mount alone: what is mounted on it stays as it is.
struct MakeRootReadOnly {};
struct EnterWorkdir {
  std::string path;
};
struct NewKeyring {};
// From here on this process's ids, and those of all that it becomes, are what the helper's keeper says (fake_ids.h).
struct FakeOwnIds {
  SeccompProgram program;
};
struct LimitBoundingSet {
  uint64_t capabilities = 0;
};
struct BecomeUser {
  UserSpec user;
  bool look_up = false;  // in the image's /etc/passwd and /etc/group
  bool may_set_groups = false;
  bool fake = false;  // the ids need not be mapped
};
struct LimitCapabilities {
  uint64_t capabilities = 0;
};
struct ForbidNewPrivileges {};
struct FilterSystemCalls {
  std::vector<SeccompProgram> programs;
};
struct DieWithHelper {};
// Forks: PID 1 stays as launch's own init, and the child goes on.
struct StayAsInit {};
struct Execute {};
using ContainerAction =
    std::variant<EnterOwnIds, JoinNamespaces, HandOutNamespaces, JoinCgroups, NewCgroupNamespace, BringUpLoopback,
                 SetHostname, SwitchRoot, MountFilesystem, ShowHostSys, ShowEtcFile, AwaitNetwork, BindDevice,
                 MakeSymlink, MaskPath, MakeReadOnly, BindVolume, BindHostDevice, MakeTerminal, SetUlimit,
                 MakeRootReadOnly, EnterWorkdir, NewKeyring, FakeOwnIds, LimitBoundingSet, BecomeUser,
                 LimitCapabilities, ForbidNewPrivileges, DieWithHelper, StayAsInit, FilterSystemCalls, Execute>;

template <typename Action>
struct Step {
  std::string what;  // "mount proc on /proc"
  Action action;
};

// A namespace by its file. The child that is to join a container enters those that it says; the user namespace is
// entered before all others, and the pid namespace has to be, by the process that forks the child.
struct NamespaceFile {
  const char* path;
  bool joined_by_child;
};
inline constexpr NamespaceFile kNamespaceFiles[] = {
    {"/proc/self/ns/user", false}, {"/proc/self/ns/pid", false}, {"/proc/self/ns/cgroup", true},
    {"/proc/self/ns/net", true},   {"/proc/self/ns/uts", true},  {"/proc/self/ns/ipc", true},
    {"/proc/self/ns/mnt", true},
};

struct Plan {
  std::string id;
  Spec spec;
  Image image;
  Identity identity;
  StorePaths store;
  std::string runtime_dir;  // this container's own, below RuntimeDir()
  CgroupPlan cgroup;
  NetworkPlan network;
  std::string hostname;

  std::vector<std::string> environment;  // what the command gets, apart from HOME
  std::string home;                      // HOME; empty when it comes from the image's /etc/passwd
  std::string search_path;               // PATH

  std::vector<Step<HostAction>> host;
  std::vector<Step<HelperAction>> helper;
  std::vector<Step<ContainerAction>> container;

  // Whether the container's processes are to believe in ids that it does not have.
  bool FakesIds() const { return spec.fake_ids && identity.method == Identity::Method::kSingle; }
  // Which ids of the host the container's are.
  std::vector<IdRange> UidsOnHost() const;
  std::vector<IdRange> GidsOnHost() const;
  // What commands of the container may have.
  uint64_t Capabilities() const;
  // The files of /etc that are launch's, not the image's; their texts are the network's and the host name.
  std::vector<const char*> EtcFiles() const;
};

// What the plan is made from, besides the spec; all of it found out before.
struct PlanInputs {
  std::string id;
  Image image;
  Identity identity;
  std::string store_root;
  std::string runtime_root;
  CgroupPlan cgroup;
  NetworkPlan network;
  std::string fusefs;      // path of the daemon
  bool exists = false;     // the container does, with what it wrote before
  WindowSize window_size;  // of the terminal, if there is to be one
  std::vector<SeccompProgram> seccomp;
};

Plan MakePlan(const Spec& spec, const PlanInputs& inputs);

// The plan of a further command in a container that runs, of which only the container's steps and the environment are
// filled in. `spec` is the container's with what was asked of exec put in its place. `joins_cgroups` says that there
// are some to join.
Plan MakeExecPlan(const Spec& spec, const Identity& identity, bool joins_cgroups, WindowSize window_size,
                  const std::vector<SeccompProgram>& seccomp);

// The plan as JSON, for --explain.
std::string ExplainPlan(const Plan& plan);

// A path as it is written in fusefs's lowerdir: colons, commas and backslashes escaped.
std::string EscapeLayer(absl::string_view path);

}  // namespace acetate::launcher
