// The branches of a mount in use, changed at the mounting user's wish. On the control socket's thread alone.
//
// After each change the kernel is told to forget what is not so any more; before a branch goes, all that would go with
// it, so that what it knows then is really in use.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/fuse_ops.h"
#include "fusefs/options.h"
#include "fusefs/owner_calls.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

class LiveBranches {
 public:
  // All outlive this. `locks`: of the branches that the mount began with, by id.
  LiveBranches(const Options* options, UnionFs* fs, fuse_session* session, OwnerCalls* calls,
               std::vector<UniqueFd> locks);

  // {"branch": "list"}; "add" with path, mode, to; "remove", "move" with to, "mode" with mode, each with path or
  // position. The reply lists the branches: {"branches": [{"position", "path", "mode"}...]}, or is {"error": ...}.
  std::string Change(const nlohmann::json& request);

  // {"whence": path}: {"layers": [{"branch", "path", "what"}...]}.
  std::string Whence(const nlohmann::json& request);

 private:
  struct Listed {
    UnionFs::BranchState state;
    std::string path;  // absolute, as it is now
  };

  std::vector<Listed> List() const;
  absl::StatusOr<Listed> Find(const nlohmann::json& request) const;
  absl::Status Apply(const std::string& verb, const nlohmann::json& request);
  absl::Status Add(const nlohmann::json& request);
  absl::Status Remove(const Listed& branch);
  absl::Status SetMode(const Listed& branch, const std::string& mode);
  // Opens a directory as a branch with that mode, beside all branches but `except`.
  absl::StatusOr<UnionFs::NewBranch> Open(const std::string& path, const std::string& mode, BranchId id,
                                          BranchId except);
  // Runs `change(&in_use, &notes)`, again while it is EBUSY for no more than what the kernel is about to forget.
  template <typename Try>
  absl::Status WhenForgotten(const Listed& branch, const Try& change);

  const Options* const options_;
  UnionFs* const fs_;
  fuse_session* const session_;
  OwnerCalls* const calls_;
  absl::flat_hash_map<BranchId, UniqueFd> locks_;
  std::string made_work_;  // by the change under way: a work directory
};

}  // namespace acetate::fusefs
