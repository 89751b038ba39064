#include "fusefs/lower_view.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "fusefs/layer_marks.h"
#include "fusefs/owner_branch.h"

namespace acetate::fusefs {

absl::StatusOr<std::unique_ptr<LowerView>> LowerView::Make(const Options& options, std::vector<UniqueFd> fds,
                                                           OwnerCalls* calls) {
  std::vector<UnionFs::NewBranch> branches;
  for (size_t i = 0; i < fds.size(); ++i) {
    const auto id = static_cast<BranchId>(i);
    branches.push_back({MakeDirectoryBranch(options.branches[i], id, std::move(fds[i]), calls), UniqueFd()});
  }
  auto view = std::unique_ptr<LowerView>(new LowerView());
  ErrnoOr<std::unique_ptr<UnionFs>> fs =
      UnionFs::Create(options, std::move(branches), Identity::OfProcess(), &view->stats_);
  if (!fs.ok()) return ErrnoToStatus(fs.error(), "read the lower layers");
  view->fs_ = *std::move(fs);
  return view;
}

void LowerTrail::Enter(const LayerObject& dir, absl::string_view name) {
  Level level;
  if (levels_.empty()) {
    if (view_ != nullptr) {
      Entry root;
      root.node = kRootId;
      root.attr.st_mode = S_IFDIR;
      level.dir = {LowerFinding::kFound, LowerObject(&view_->fs(), root)};
    }
    levels_.push_back(std::move(level));
    return;
  }
  const Mark* redirect = dir.marks.Find(MarkKind::kRedirect);
  level.way = std::string(name);
  if (dir.opaque) {
    level.dir.answer = LowerFinding::kNothing;
  } else if (redirect != nullptr && IsRedirect(redirect->value)) {
    level.way = redirect->value;
    level.dir = AtRedirect(redirect->value);
  } else {
    level.dir = AtName(level.way);
  }
  // What lies below may be something else, which the directory hides.
  if (level.dir.answer == LowerFinding::kFound && !level.dir.object.is_dir()) {
    level.dir = {LowerFinding::kNothing, LowerObject()};
  }
  levels_.push_back(std::move(level));
}

LowerFinding LowerTrail::Look(NodeId parent, const std::string& name) {
  ErrnoOr<Entry> entry = view_->fs().Lookup(parent, name);
  if (entry.ok()) return {LowerFinding::kFound, LowerObject(&view_->fs(), *entry)};
  const bool none = entry.error() == ENOENT || entry.error() == ENOTDIR || entry.error() == ENAMETOOLONG;
  return {none ? LowerFinding::kNothing : LowerFinding::kUnknown, LowerObject()};
}

LowerFinding LowerTrail::AtName(const std::string& name) {
  const LowerFinding& dir = levels_.back().dir;
  if (dir.answer != LowerFinding::kFound) return {dir.answer, LowerObject()};
  return Look(dir.object.node(), name);
}

LowerFinding LowerTrail::AtRedirect(absl::string_view redirect) {
  if (!absl::ConsumePrefix(&redirect, "/")) return AtName(std::string(redirect));
  LowerFinding found;
  if (view_ == nullptr) return found;
  NodeId node = kRootId;
  for (absl::string_view part : absl::StrSplit(redirect, '/')) {
    found = Look(node, std::string(part));
    if (found.answer != LowerFinding::kFound) break;
    node = found.object.node();
  }
  return found;
}

std::string LowerTrail::PathOfName(absl::string_view name) const {
  // Up to the last level that is reached from the root, then down.
  size_t first = levels_.size();
  while (first > 1 && !absl::StartsWith(levels_[first - 1].way, "/")) --first;
  std::string path;
  for (size_t i = std::max<size_t>(first, 2) - 1; i < levels_.size(); ++i) {
    absl::string_view way = levels_[i].way;
    absl::ConsumePrefix(&way, "/");
    absl::StrAppend(&path, path.empty() ? "" : "/", way);
  }
  return absl::StrCat(path, path.empty() ? "" : "/", name);
}

std::string LowerTrail::PathOfRedirect(absl::string_view redirect) const {
  if (absl::ConsumePrefix(&redirect, "/")) return std::string(redirect);
  return PathOfName(redirect);
}

}  // namespace acetate::fusefs
