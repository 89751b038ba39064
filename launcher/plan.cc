#include "launcher/plan.h"

#include <linux/mount.h>
#include <sched.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "launcher/capabilities.h"
#include "launcher/fake_id_filter.h"
#include "launcher/userns.h"

namespace acetate::launcher {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr uint64_t kNoSuidDevExec = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr uint32_t kTtyGroup = 5;

// What of /proc and /sys tells about, or changes, the host.
constexpr const char* kMasked[] = {"/proc/acpi",        "/proc/asound",  "/proc/interrupts",
                                   "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
                                   "/proc/sched_debug", "/proc/scsi",    "/proc/timer_list",
                                   "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap"};
constexpr const char* kReadOnly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

// What of the host's /sys a /sys of the container's own would not have.
constexpr const char* kMaskedInHostSys[] = {"/sys/fs/bpf",       "/sys/fs/cgroup",      "/sys/fs/fuse",
                                            "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security"};

void AddHostSteps(bool exists, const std::string& runtime_root, Plan* plan) {
  auto add = [&](std::string what, HostAction action) { plan->host.push_back({std::move(what), std::move(action)}); };
  add(absl::StrCat("make the store ", plan->store.root), MakeStoreDirectory{});
  add(absl::StrCat("lock ", plan->store.record), WriteRecord{});
  if (!exists) {
    if (!plan->spec.name.empty()) add(absl::StrCat("take the name ", plan->spec.name), ClaimName{});
    add(absl::StrCat("make ", plan->store.container), MakeContainer{});
  }
  add(absl::StrCat("make ", plan->runtime_dir), MakeRuntimeDirectory{});
  if (std::string names = absl::StrJoin(plan->EtcFiles(), ", "); !names.empty()) {
    add(absl::StrCat("write ", names, " in ", plan->runtime_dir), WriteEtcFiles{});
  }
  if (!plan->cgroup.scope.empty()) {
    add(absl::StrCat("have systemd start ", plan->cgroup.scope, " with launch in it"),
        StartScope{plan->cgroup.scope, plan->cgroup.scope_directory});
  }
  if (!plan->cgroup.leaf.empty()) {
    add(absl::StrCat("step aside into the cgroup ", plan->cgroup.leaf), StepAside{plan->cgroup.leaf});
  }
  if (const std::optional<IdSlice>& slice = plan->identity.slice; slice.has_value()) {
    add(absl::StrCat("take ", slice->count, " subordinate ids from the ", slice->first, "th on"),
        TakeIds{runtime_root, *slice});
  }
  if (!plan->cgroup.enable_in.empty()) {
    add(absl::StrCat("write ", plan->cgroup.enable, " to ", plan->cgroup.enable_in),
        EnableControllers{plan->cgroup.enable_in, plan->cgroup.enable});
  }
  for (const std::string& path : plan->cgroup.Directories()) {
    add(absl::StrCat("make the cgroup ", path), MakeCgroupDirectory{path});
  }
  for (const CgroupLimit& limit : plan->cgroup.limits) {
    std::string settings = absl::StrJoin(limit.settings, " and ", [](std::string* out, const auto& setting) {
      absl::StrAppend(out, setting.value, " to ", setting.file);
    });
    const char* which = limit.optional              ? ", if there is one"
                        : limit.settings.size() > 1 ? ", what there is of them"
                                                    : "";
    add(absl::StrCat("write ", settings, which), WriteLimit{limit});
  }
}

std::string DescribeIds(const Identity& identity) {
  switch (identity.method) {
    case Identity::Method::kSingle:
      return absl::StrCat("map root to user ", identity.uids[0].outside, ", and no one else");
    case Identity::Method::kSubordinate:
      return absl::StrCat("map root to user ", identity.uids[0].outside, ", and the others to subordinate ids");
    case Identity::Method::kMirror:
    case Identity::Method::kHost:
      return "map every id to itself";
  }
  return "";
}

void AddHelperSteps(const PlanInputs& inputs, Plan* plan) {
  auto add = [&](std::string what, HelperAction action) {
    plan->helper.push_back({std::move(what), std::move(action)});
  };
  // Where no user namespace keeps device nodes from being opened, mounts have to.
  const bool on_host = plan->identity.method == Identity::Method::kHost;
  if (on_host) {
    add("in a new mount namespace, keep mounts from the host", LeaveHostsMounts{});
  } else {
    add(absl::StrCat("in new user and mount namespaces, ", DescribeIds(plan->identity)), MapIds{});
  }
  add(absl::StrCat("mount a FUSE filesystem, not yet attached anywhere", on_host ? ", without devices" : ""),
      MountUnion{{{"source", "acetate"},
                  {"subtype", "fusefs"},
                  {"rootmode", "40000"},
                  {"user_id", "0"},
                  {"group_id", "0"},
                  {"allow_other", ""},
                  {"default_permissions", ""}},
                 on_host ? unsigned{MOUNT_ATTR_NODEV} : 0u});

  add(absl::StrCat("listen on ", plan->runtime_dir, "/", kControlSocket), Listen{});
  if (plan->spec.HasSession()) add(absl::StrCat("open the log ", plan->store.container, "/log"), OpenLog{});

  std::string options = "lowerdir=";
  for (size_t i = 0; i < plan->image.layers.size(); ++i) {
    absl::StrAppend(&options, i == 0 ? "" : ":", EscapeLayer(plan->image.layers[i]));
  }
  absl::StrAppend(&options, ",upperdir=", EscapeLayer(plan->store.upper), ",workdir=", EscapeLayer(plan->store.work));
  // Also where the ids are there: what a layer records once it has to record for good.
  if (plan->spec.fake_ids) absl::StrAppend(&options, ",xattr_permissions=2");
  // With a single id there is nothing to shift: all is the user's.
  if (plan->identity.has_inner() && plan->identity.method != Identity::Method::kSingle) {
    absl::StrAppend(&options, ",uidmapping=", FormatMapping(plan->identity.inner_uids),
                    ",gidmapping=", FormatMapping(plan->identity.inner_gids));
  }
  std::string control = absl::StrCat("--control=", plan->runtime_dir, "/", kFusefsSocket);
  std::string stats = absl::StrCat("--stats_fd=", kFusefsStatsFd);
  add(absl::StrCat("start ", inputs.fusefs, " on ", plan->image.layers.size(), " layers and ", plan->store.upper),
      StartDaemon{{inputs.fusefs, "-f", "-o", options, "--confine", control, stats}});
  bool own_network = plan->network.mode != NetworkMode::kHost;
  const bool own_ids = plan->identity.has_inner();
  add(absl::StrCat("start PID 1 in new ", own_ids ? "user, " : "", "mount, pid, ", own_network ? "net, " : "",
                   "uts and ipc namespaces"),
      StartInit{CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | (own_network ? CLONE_NEWNET : 0u) |
                (own_ids ? CLONE_NEWUSER : 0u)});
}

using ContainerSteps = std::vector<Step<ContainerAction>>;

void AddMount(ContainerSteps* steps, MountFilesystem mount) {
  std::string options = absl::StrJoin(mount.options, ",", [](std::string* out, const auto& option) {
    absl::StrAppend(out, option.first, option.second.empty() ? "" : "=", option.second);
  });
  std::string what = absl::StrCat("mount ", mount.type, " on ", mount.target,
                                  (mount.attributes & MOUNT_ATTR_RDONLY) != 0 ? ", read-only" : "",
                                  options.empty() ? "" : ", ", options);
  steps->push_back({std::move(what), std::move(mount)});
}

void AddDevices(const Identity& identity, uint64_t shm_bytes, ContainerSteps* steps) {
  // The devices are mounts of their own; what is made beside them is none.
  AddMount(steps, {"tmpfs", "/dev", kNoSuidDevExec, {{"mode", "755"}, {"size", "65536k"}}});
  const BindDevice devices[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  for (const BindDevice& device : devices) steps->push_back({absl::StrCat("show /dev/", device.name), device});

  std::vector<std::pair<std::string, std::string>> pts = {{"mode", "0620"}, {"ptmxmode", "0666"}};
  if (identity.MapsGid(kTtyGroup)) pts.push_back({"gid", absl::StrCat(kTtyGroup)});
  AddMount(steps, {"devpts", "/dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, pts});
  AddMount(steps, {"tmpfs", "/dev/shm", kNoSuidDevExec, {{"mode", "1777"}, {"size", absl::StrCat(shm_bytes)}}});
  AddMount(steps, {"mqueue", "/dev/mqueue", kNoSuidDevExec, {}});
  const MakeSymlink links[] = {{"pts/ptmx", "/dev/ptmx"},
                               {"/proc/self/fd", "/dev/fd"},
                               {"/proc/self/fd/0", "/dev/stdin"},
                               {"/proc/self/fd/1", "/dev/stdout"},
                               {"/proc/self/fd/2", "/dev/stderr"}};
  for (const MakeSymlink& link : links) steps->push_back({absl::StrCat("link ", link.link, " to ", link.target), link});
}

std::string DescribeUser(const UserSpec& user) {
  auto shown = [](const IdOrName& part) { return part.id.has_value() ? absl::StrCat(*part.id) : part.name; };
  return absl::StrCat("become user ", shown(user.user),
                      user.group.has_value() ? absl::StrCat(":", shown(*user.group)) : "");
}

UserSpec UserOf(const Spec& spec) { return spec.user.value_or(UserSpec{{0, ""}, IdOrName{0, ""}}); }

// What every command of a container goes through, the first as well as a further one.
void AddCommandSteps(bool make_root_read_only, Plan* plan) {
  ContainerSteps* steps = &plan->container;
  auto add = [&](std::string what, ContainerAction action) { steps->push_back({std::move(what), std::move(action)}); };
  add(absl::StrCat("enter ", plan->spec.workdir), EnterWorkdir{plan->spec.workdir});
  if (make_root_read_only) add("make the root read-only", MakeRootReadOnly{});
  for (const Ulimit& limit : plan->spec.ulimits) {
    add(absl::StrCat("--ulimit ", FormatUlimit(limit)), SetUlimit{limit});
  }
  const uint64_t kept = plan->Capabilities();
  add("make a session keyring", NewKeyring{});
  add("limit the capabilities that can be had", LimitBoundingSet{kept});
  const bool fakes = plan->FakesIds();
  BecomeUser become{UserOf(plan->spec), plan->spec.user.has_value(), plan->identity.may_set_groups || fakes, fakes};
  add(DescribeUser(become.user), become);
  if (fakes) {
    add("answer for users and groups that are not there", FakeOwnIds{FakeIdFilter((kept >> CAP_CHOWN & 1) != 0)});
  }
  add("limit the capabilities held", LimitCapabilities{kept});
  add("forbid new privileges", ForbidNewPrivileges{});
  add("end when the helper ends", DieWithHelper{});
}

// `seccomp`: empty for none.
void AddExecute(const std::vector<SeccompProgram>& seccomp, Plan* plan) {
  if (!seccomp.empty()) {
    const std::string by = plan->spec.seccomp.empty() ? "the default profile" : plan->spec.seccomp;
    plan->container.push_back({absl::StrCat("filter system calls by ", by), FilterSystemCalls{seccomp}});
  }
  plan->container.push_back({absl::StrCat("execute ", absl::StrJoin(plan->spec.command, " ")), Execute{}});
}

std::string DescribeNetwork(const Plan& plan) {
  std::string text =
      absl::StrCat("wait until ", plan.network.mode == NetworkMode::kBridge ? "the bridge" : plan.network.program,
                   " has connected the network");
  for (const PublishedPort& port : plan.spec.network.ports) absl::StrAppend(&text, ", ", ShowPort(port));
  return text;
}

std::string DescribeInner(const Identity& identity) {
  auto shown = [](const std::vector<IdRange>& map) {
    return absl::StrJoin(map, ", ", [](std::string* out, const IdRange& range) {
      absl::StrAppend(out, range.count, " from ", range.inside, " to ", range.outside);
    });
  };
  return absl::StrCat("map users ", shown(identity.inner_uids), " and groups ", shown(identity.inner_gids));
}

void AddContainerSteps(const PlanInputs& inputs, Plan* plan) {
  ContainerSteps* steps = &plan->container;
  auto add = [&](std::string what, ContainerAction action) { steps->push_back({std::move(what), std::move(action)}); };
  const Identity& identity = plan->identity;
  if (identity.has_inner()) {
    const bool has_root = identity.MapsUid(0) && identity.MapsGid(0);
    add(absl::StrCat("in the container's own user namespace, ", DescribeInner(identity)), EnterOwnIds{has_root});
  }
  if (!plan->cgroup.v1.empty()) add("join the cgroups", JoinCgroups{});
  add("make a cgroup namespace", NewCgroupNamespace{});
  add("hand out the namespaces", HandOutNamespaces{});
  bool own_network = plan->network.mode != NetworkMode::kHost;
  if (own_network) add("bring up the loopback interface", BringUpLoopback{});
  add(absl::StrCat("set the host name to ", plan->hostname), SetHostname{plan->hostname});
  add("make the union the root and let go of the host's tree", SwitchRoot{plan->runtime_dir});
  AddMount(steps, {"proc", "/proc", kNoSuidDevExec, {}});
  if (own_network) {
    AddMount(steps, {"sysfs", "/sys", kNoSuidDevExec | MOUNT_ATTR_RDONLY, {}});
  } else {
    add("show the host's /sys, read-only", ShowHostSys{});
  }
  AddDevices(plan->identity, plan->spec.shm_bytes, steps);
  for (const char* path : kReadOnly) add(absl::StrCat("make ", path, " read-only"), MakeReadOnly{path});
  for (const char* path : kMasked) add(absl::StrCat("mask ", path), MaskPath{path});
  if (!own_network) {
    for (const char* path : kMaskedInHostSys) add(absl::StrCat("mask ", path), MaskPath{path});
  }
  for (const char* name : plan->EtcFiles()) {
    add(absl::StrCat("show /etc/", name), ShowEtcFile{absl::StrCat(plan->runtime_dir, "/", name), name});
  }
  for (const Volume& volume : plan->spec.volumes) {
    add(absl::StrCat("show the host's ", volume.source, " as ", volume.target, volume.read_only ? ", read-only" : ""),
        BindVolume{volume, identity.method == Identity::Method::kHost});
  }
  for (const Device& device : plan->spec.devices) {
    add(absl::StrCat("show the host's device ", device.source, " as ", device.target,
                     device.read_only ? ", read-only" : ""),
        BindHostDevice{device});
  }
  for (const Tmpfs& tmpfs : plan->spec.tmpfs) {
    std::vector<std::pair<std::string, std::string>> options = {{"mode", tmpfs.mode}};
    if (!tmpfs.size.empty()) options.push_back({"size", tmpfs.size});
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (tmpfs.read_only ? MOUNT_ATTR_RDONLY : 0) |
                          (tmpfs.executable ? 0 : MOUNT_ATTR_NOEXEC);
    AddMount(steps, {"tmpfs", tmpfs.target, attributes, options});
  }
  if (plan->spec.terminal) add("make a terminal, also as /dev/console", MakeTerminal{inputs.window_size, true});
  if (!plan->network.program.empty()) add(DescribeNetwork(*plan), AwaitNetwork{});
  AddCommandSteps(plan->spec.read_only, plan);
  if (plan->spec.init) add("stay as PID 1 beside the command", StayAsInit{});
  AddExecute(inputs.seccomp, plan);
}

bool Sets(const Spec& spec, absl::string_view prefix) {
  for (const std::string& entry : spec.environment) {
    if (absl::StartsWith(entry, prefix)) return true;
  }
  return false;
}

// PATH, then what -e says; a PATH of the user's replaces ours.
void SetEnvironment(Plan* plan) {
  plan->search_path = kDefaultPath;
  for (const std::string& entry : plan->spec.environment) {
    absl::string_view value = entry;
    if (absl::ConsumePrefix(&value, "PATH=")) plan->search_path = std::string(value);
    if (absl::ConsumePrefix(&value, "HOME=")) plan->home = std::string(value);
  }
  // Without -u the user is root, whose home needs no looking up.
  if (plan->home.empty() && !plan->spec.user.has_value()) plan->home = "/root";
  plan->environment.push_back(absl::StrCat("PATH=", plan->search_path));
  if (plan->spec.terminal && !Sets(plan->spec, "TERM=")) plan->environment.push_back("TERM=xterm");
  for (const std::string& entry : plan->spec.environment) {
    if (!absl::StartsWith(entry, "PATH=") && !absl::StartsWith(entry, "HOME=")) plan->environment.push_back(entry);
  }
}

}  // namespace

std::vector<IdRange> Plan::UidsOnHost() const {
  return identity.has_inner() ? Compose(identity.inner_uids, identity.uids) : identity.uids;
}

std::vector<IdRange> Plan::GidsOnHost() const {
  return identity.has_inner() ? Compose(identity.inner_gids, identity.gids) : identity.gids;
}

uint64_t Plan::Capabilities() const {
  uint64_t kept = KeptCapabilities(spec.cap_add, spec.cap_drop);
  // Without a user namespace, nodes that it makes would open the machine's disks, if only in volumes.
  const uint64_t make_nodes = uint64_t{1} << CAP_MKNOD;
  if (spec.userns.mode == UsernsSpec::Mode::kHost && (spec.cap_add & make_nodes) == 0) kept &= ~make_nodes;
  return kept;
}

std::vector<const char*> Plan::EtcFiles() const {
  std::vector<const char*> names;
  if (!network.hosts.empty()) names.push_back("hosts");
  if (!network.resolv_conf.empty()) names.push_back("resolv.conf");
  if (network.mode != NetworkMode::kNone) names.push_back("hostname");
  return names;
}

std::string EscapeLayer(absl::string_view path) {
  std::string escaped;
  for (char c : path) {
    if (c == '\\' || c == ':' || c == ',') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

Plan MakePlan(const Spec& spec, const PlanInputs& inputs) {
  Plan plan;
  plan.id = inputs.id;
  plan.spec = spec;
  plan.image = inputs.image;
  plan.identity = inputs.identity;
  plan.store = PathsInStore(inputs.store_root, inputs.id, spec.name);
  plan.runtime_dir = absl::StrCat(inputs.runtime_root, "/", ShortId(inputs.id));
  plan.cgroup = inputs.cgroup;
  plan.network = inputs.network;
  plan.hostname = spec.hostname.empty() ? ShortId(inputs.id) : spec.hostname;
  SetEnvironment(&plan);
  AddHostSteps(inputs.exists, inputs.runtime_root, &plan);
  AddHelperSteps(inputs, &plan);
  AddContainerSteps(inputs, &plan);
  return plan;
}

Plan MakeExecPlan(const Spec& spec, const Identity& identity, bool joins_cgroups, WindowSize window_size,
                  const std::vector<SeccompProgram>& seccomp) {
  Plan plan;
  plan.spec = spec;
  plan.identity = identity;
  SetEnvironment(&plan);
  if (joins_cgroups) plan.container.push_back({"join the container's cgroups", JoinCgroups{}});
  plan.container.push_back({"join the container's namespaces", JoinNamespaces{}});
  if (spec.terminal) plan.container.push_back({"make a terminal", MakeTerminal{window_size, false}});
  AddCommandSteps(false, &plan);  // the root is what it was made
  AddExecute(seccomp, &plan);
  return plan;
}

}  // namespace acetate::launcher
