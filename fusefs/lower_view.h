// What the lower layers hold for a layer that lies on them: the union of the lowers alone, looked into beside a walk
// through the upper one. Whiteouts, opaque directories, redirects and metacopies among the lowers are the union's own
// affair here. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/layer_walk.h"
#include "fusefs/options.h"
#include "fusefs/owner_calls.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// A read-only union of the lower layers.
class LowerView {
 public:
  // `options.branches` are the lower layers; `fds` their directories, in that order. `calls` may be null and outlives
  // the view.
  static absl::StatusOr<std::unique_ptr<LowerView>> Make(const Options& options, std::vector<UniqueFd> fds,
                                                         OwnerCalls* calls);

  UnionFs& fs() { return *fs_; }

 private:
  LowerView() = default;

  Stats stats_;
  std::unique_ptr<UnionFs> fs_;
};

// An object of that union, known as long as this lives. Move-only; the default one is none.
class LowerObject {
 public:
  LowerObject() = default;
  LowerObject(UnionFs* fs, const Entry& entry) : fs_(fs), entry_(entry) {}
  LowerObject(LowerObject&& other) noexcept : fs_(std::exchange(other.fs_, nullptr)), entry_(other.entry_) {}
  LowerObject& operator=(LowerObject&& other) noexcept {
    std::swap(fs_, other.fs_);
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~LowerObject() {
    if (fs_ != nullptr) fs_->Forget(entry_.node, 1);
  }

  bool valid() const { return fs_ != nullptr; }
  NodeId node() const { return entry_.node; }
  const struct stat& attr() const { return entry_.attr; }
  bool is_dir() const { return valid() && S_ISDIR(entry_.attr.st_mode); }
  UnionFs* fs() const { return fs_; }

 private:
  UnionFs* fs_ = nullptr;
  Entry entry_;
};

struct LowerFinding {
  // kUnknown: nobody named the lower layers, or they cannot be read there.
  enum Answer { kUnknown, kNothing, kFound } answer = kUnknown;
  LowerObject object;  // of kFound
};

// The way down from the root, kept beside a walk through the upper layer: where its directories lie in the lower ones,
// which a redirect or an opaque mark makes another place than their path.
class LowerTrail {
 public:
  // `view` is null when the lower layers are not known.
  explicit LowerTrail(LowerView* view) : view_(view) {}

  // Goes into a directory of the upper layer, the root first, and back.
  void Enter(const LayerObject& dir, absl::string_view name);
  void Leave() { levels_.pop_back(); }

  // For a name in the directory that was entered last.
  LowerFinding AtName(const std::string& name);
  // Where a good redirect of an object in that directory leads.
  LowerFinding AtRedirect(absl::string_view redirect);
  // The paths of these two in the lower layers.
  std::string PathOfName(absl::string_view name) const;
  std::string PathOfRedirect(absl::string_view redirect) const;

 private:
  struct Level {
    LowerFinding dir;
    // How it is reached in the lower layers: one name in the level above, or, with a slash, a path from the root.
    std::string way;
  };

  LowerFinding Look(NodeId parent, const std::string& name);

  LowerView* const view_;
  std::vector<Level> levels_;
};

}  // namespace acetate::fusefs
