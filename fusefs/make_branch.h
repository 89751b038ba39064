// A branch of the union, put together from what the options ask for: the directory, with the helper of a daemon without
// privileges, under strict syncs, under recorded owners, under shifted ones.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/branch.h"
#include "fusefs/identity.h"
#include "fusefs/options.h"
#include "fusefs/owner_calls.h"

namespace acetate::fusefs {

// `root` is an fd of the branch's directory; `calls` outlives the branch and is null for a daemon that needs none.
absl::StatusOr<std::unique_ptr<Branch>> MakeBranch(const Options& options, BranchSpec spec, BranchId id, UniqueFd root,
                                                   OwnerCalls* calls);

// The identity to go with such branches. To be called once, before there are threads.
Identity MakeIdentity(const Options& options);

}  // namespace acetate::fusefs
