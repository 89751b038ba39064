// A unit of systemd's for a container that needs a cgroup where the caller has none to divide: a transient scope, which
// systemd starts around this process and hands over (Delegate=yes). Users ask the systemd of their session on its
// bus, root that of the machine. The scope ends by itself with the last process in it.
//
// Each call connects anew and takes about a millisecond. For one thread at a time.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/cgroup_plan.h"

namespace acetate::launcher {

// Where that unit's cgroup would be, below the mount of the v2 tree, and with which controllers; starts nothing. The
// error says why systemd cannot be asked.
absl::StatusOr<ScopePlace> FindSystemdScope(const std::string& unified_mount, absl::string_view unit);

// Whether a unit that runs was handed over to those in it (Delegate=yes); false also when systemd cannot be asked.
bool IsDelegatedUnit(const std::string& unit);

// The two questions above, for PlanCgroups.
SystemdQuestions AskSystemd(const std::string& unified_mount);

// Starts the unit with this process in it, and waits until that is done, at most ten seconds.
absl::Status StartSystemdScope(const std::string& unit);

// Has systemd put this process into a cgroup of a unit that it has handed over: `below` is a path within the unit's
// own. For those whom the kernel does not let go there by themselves, since no one cgroup above both places is theirs.
absl::Status JoinSystemdUnit(const std::string& unit, const std::string& below);

// The bus to ask, as an address of D-Bus, for a user with these variables (null: not set) and this number.
std::string BusAddress(uid_t user, const char* session_bus, const char* runtime_dir);

}  // namespace acetate::launcher
