#include "launcher/resolve.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/runtime_dir.h"
#include "launcher/capabilities.h"
#include "launcher/client.h"
#include "launcher/daemon.h"
#include "launcher/id_lease.h"
#include "launcher/network.h"
#include "launcher/network_process.h"
#include "launcher/systemd_scope.h"
#include "launcher/userns.h"

namespace acetate::launcher {
namespace {

absl::Status CheckFuseDevice() {
  if (access("/dev/fuse", R_OK | W_OK) == 0) return absl::OkStatus();
  const char* cure = errno == EACCES ? "; allow it with chmod 0666 /dev/fuse, or a udev rule"
                                     : "; load it with modprobe fuse, or give this container the device";
  absl::Status status = ErrnoToStatus(Errno::Last(), "/dev/fuse");
  return absl::Status(status.code(), absl::StrCat(status.message(), cure));
}

absl::Status CheckVolumes(const Spec& spec) {
  for (const Volume& volume : spec.volumes) {
    struct stat st;
    if (stat(volume.source.c_str(), &st) == 0) continue;
    return ErrnoToStatus(Errno::Last(), absl::StrCat("--volume: ", volume.source));
  }
  return absl::OkStatus();
}

// A device that is to be read only has to be one that this user cannot write anyway: the kernel lets devices be written
// through mounts that are read-only.
absl::Status CheckDevices(const Spec& spec) {
  for (const Device& device : spec.devices) {
    struct stat st;
    if (stat(device.source.c_str(), &st) != 0) {
      return ErrnoToStatus(Errno::Last(), absl::StrCat("--device: ", device.source));
    }
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat("--device: ", device.source, " is no device; show files and directories with --volume"));
    }
    if (device.read_only && access(device.source.c_str(), W_OK) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("--device: ", device.source,
                       " cannot be shown for reading alone, since you may write it and no mount forbids that; take "
                       "the right from you, or write rw"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> ChooseIds(const Spec& spec, const std::string& runtime_root) {
  IdentitySources sources = ReadIdentitySources();
  const bool slices = spec.userns.mode == UsernsSpec::Mode::kAuto;
  if (slices && sources.may_map_any) ReadSubordinateIds(&sources);
  absl::StatusOr<Identity> identity = ChooseIdentity(sources);
  if (!identity.ok()) return identity;
  const std::vector<IdSlice> taken = slices ? ReadLeases(runtime_root) : std::vector<IdSlice>();
  if (absl::Status s = ChooseUserns(spec.userns, sources, taken, &*identity); !s.ok()) return s;
  return identity;
}

// Who keeps the own id is who the command is run as.
Spec WithUser(Spec spec) {
  if (spec.userns.mode == UsernsSpec::Mode::kKeepId && !spec.user.has_value()) {
    spec.user = UserSpec{{geteuid(), ""}, IdOrName{getegid(), ""}};
  }
  return spec;
}

// Root's answers are what is faked; without one inside, or with the host's, there is nothing to answer.
absl::Status CheckFakeIds(const Spec& spec) {
  if (!spec.fake_ids) return absl::OkStatus();
  if (spec.userns.mode != UsernsSpec::Mode::kPrivate) {
    return absl::FailedPreconditionError(
        absl::StrCat("--fake_ids and --userns ", FormatUserns(spec.userns), " exclude each other"));
  }
  for (const Ulimit& limit : spec.ulimits) {
    if (limit.resource == RLIMIT_LOCKS) {
      return absl::FailedPreconditionError("--ulimit locks and --fake_ids exclude each other: ids are kept in it");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUser(const Spec& spec, const Identity& identity) {
  if (!spec.user.has_value() || (spec.fake_ids && identity.method == Identity::Method::kSingle)) {
    return absl::OkStatus();
  }
  const IdOrName& user = spec.user->user;
  bool fits = !user.id.has_value() || identity.MapsUid(*user.id);
  if (spec.user->group.has_value() && spec.user->group->id.has_value()) {
    fits = fits && identity.MapsGid(*spec.user->group->id);
  }
  if (fits) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "--user: this number is outside of the ids you may use; root can give you more in /etc/subuid and /etc/subgid");
}

// A layer that holds the store would show the container its own writable layer.
absl::Status CheckStoreOutside(const Image& image, const std::string& store) {
  for (const std::string& layer : image.layers) {
    std::string inside = layer == "/" ? layer : layer + "/";
    if (absl::StartsWith(store + "/", inside)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the store ", store, " lies inside the image's layer ", layer, "; set XDG_DATA_HOME elsewhere"));
    }
  }
  return absl::OkStatus();
}

absl::Status ChooseId(const std::string& existing, PlanInputs* inputs) {
  inputs->exists = !existing.empty();
  inputs->id = existing;
  if (inputs->exists) return absl::OkStatus();
  absl::StatusOr<std::string> id = NewId();
  if (!id.ok()) return id.status();
  inputs->id = *std::move(id);
  return absl::OkStatus();
}

absl::Status CheckTerminal(const Spec& spec) {
  if (spec.detach || !spec.terminal || !spec.interactive || isatty(STDIN_FILENO) == 1) return absl::OkStatus();
  return absl::FailedPreconditionError("-it: stdin is not a terminal; leave out -t, or -i");
}

}  // namespace

absl::StatusOr<std::vector<SeccompProgram>> SeccompFilterFor(const Spec& spec) {
  if (spec.seccomp == kSeccompUnconfined) return std::vector<SeccompProgram>();
  const uint64_t kept = KeptCapabilities(spec.cap_add, spec.cap_drop);
  if (spec.seccomp.empty()) return DefaultSeccompFilter(kept);
  absl::StatusOr<std::vector<SeccompProgram>> filter = SeccompFilterOf(spec.seccomp_profile, kept);
  if (filter.ok()) return filter;
  return absl::Status(filter.status().code(),
                      absl::StrCat("--security-opt seccomp=", spec.seccomp, ": ", filter.status().message()));
}

absl::StatusOr<Plan> Resolve(const Spec& asked, const std::string& existing_id) {
  const Spec spec = WithUser(asked);
  PlanInputs inputs;
  if (absl::Status s = CheckTerminal(spec); !s.ok()) return s;
  absl::StatusOr<Image> image = LoadImage(spec.image);
  if (!image.ok()) return image.status();
  inputs.image = *std::move(image);
  if (absl::Status s = CheckVolumes(spec); !s.ok()) return s;
  if (absl::Status s = CheckDevices(spec); !s.ok()) return s;
  if (absl::Status s = CheckFakeIds(spec); !s.ok()) return s;

  absl::StatusOr<std::string> store = StoreRoot();
  if (!store.ok()) return store.status();
  inputs.store_root = *std::move(store);
  if (absl::Status s = CheckStoreOutside(inputs.image, inputs.store_root); !s.ok()) return s;

  absl::StatusOr<std::string> runtime = RuntimeDir();
  if (!runtime.ok()) return runtime.status();
  inputs.runtime_root = *std::move(runtime);
  absl::StatusOr<Identity> identity = ChooseIds(spec, inputs.runtime_root);
  if (!identity.ok()) return identity.status();
  inputs.identity = *std::move(identity);
  if (absl::Status s = CheckUser(spec, inputs.identity); !s.ok()) return s;

  if (absl::Status s = CheckFuseDevice(); !s.ok()) return s;
  absl::StatusOr<std::string> fusefs = FindFusefs();
  if (!fusefs.ok()) return fusefs.status();
  inputs.fusefs = *std::move(fusefs);

  if (absl::Status s = ChooseId(existing_id, &inputs); !s.ok()) return s;
  std::string hostname = spec.hostname.empty() ? ShortId(inputs.id) : spec.hostname;
  // Nothing of the machine counts for who wants no network.
  const bool unconnected =
      spec.network.ports.empty() && spec.network.mode.value_or(NetworkMode::kNone) == NetworkMode::kNone;
  absl::StatusOr<NetworkPlan> network =
      ChooseNetwork(spec.network, unconnected ? NetworkSources() : ReadNetworkSources(), hostname);
  if (!network.ok()) return network.status();
  inputs.network = *std::move(network);
  if (absl::Status s = CheckPortsAreFree(spec.network.ports); !s.ok()) return s;
  const CgroupView view = ReadCgroupView();
  absl::StatusOr<CgroupPlan> cgroup =
      PlanCgroups(view, ShortId(inputs.id), spec.limits, AskSystemd(view.unified_mount));
  if (!cgroup.ok()) return cgroup.status();
  inputs.cgroup = *std::move(cgroup);

  inputs.window_size = WindowSizeOfUser();
  absl::StatusOr<std::vector<SeccompProgram>> seccomp = SeccompFilterFor(spec);
  if (!seccomp.ok()) return seccomp.status();
  inputs.seccomp = *std::move(seccomp);
  return MakePlan(spec, inputs);
}

}  // namespace acetate::launcher
