// The branches of a mount in use, changed at the mounting user's wish. On the control socket's thread alone.
//
// Around each change the kernel is told to forget what it knows of the union, so that what is merely cached is not in
// use, and nothing old is shown afterwards.
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
  LiveBranches(const Options* options, FuseContext* context, OwnerCalls* calls, std::vector<UniqueFd> locks);

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
  // Runs `change(&in_use)`, again while it is EBUSY for no more than what the kernel is about to forget.
  template <typename Try>
  absl::Status WhenForgotten(const Listed& branch, const Try& change);

  const Options* const options_;
  FuseContext* const context_;
  OwnerCalls* const calls_;
  absl::flat_hash_map<BranchId, UniqueFd> locks_;
};

}  // namespace acetate::fusefs
