#include "fusefs/make_branch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "fusefs/engine_layer.h"
#include "fusefs/mapped_branch.h"
#include "fusefs/override_branch.h"
#include "fusefs/owner_branch.h"
#include "fusefs/strict_branch.h"

namespace acetate::fusefs {

absl::StatusOr<std::unique_ptr<Branch>> MakeBranch(const Options& options, BranchSpec spec, BranchId id, UniqueFd root,
                                                   OwnerCalls* calls) {
  if (options.find_engine_layers && spec.mode == BranchMode::kReadOnly && IsEngineLayer(root.get())) {
    spec.format = WhiteoutFormat::kDotWh;
  }
  std::unique_ptr<Branch> branch = MakeDirectoryBranch(spec, id, std::move(root), calls);
  const bool writable = spec.mode == BranchMode::kReadWrite && !options.read_only;
  if (writable && options.sync == SyncMode::kStrict) branch = std::make_unique<StrictBranch>(std::move(branch));
  if (options.owner_records != OwnerRecords::kNone) {
    auto recorded = std::make_unique<OverrideBranch>(std::move(branch));
    if (writable) {
      const Errno error = recorded->StartRecording(options.owner_records);
      if (!error.ok()) {
        return ErrnoToStatus(error, absl::StrCat("xattr_permissions: writable layer '", spec.path, "': write ",
                                                 recorded->key(), " to it"));
      }
    }
    branch = std::move(recorded);
  }
  if (!options.owners.none()) branch = std::make_unique<MappedBranch>(std::move(branch), options.owners);
  return branch;
}

Identity MakeIdentity(const Options& options) {
  Identity identity = Identity::OfProcess();
  identity.Follow(options.owners);
  if (options.owner_records != OwnerRecords::kNone) identity.KeepOwn();
  return identity;
}

}  // namespace acetate::fusefs
