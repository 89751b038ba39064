// Which layer supplies, hides or has changed what the union shows at a path.
#include <dirent.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

std::string PathIn(const LayerDir& dir, absl::string_view name) {
  std::string path(name);
  for (const LayerDir* at = &dir; at->parent != nullptr; at = at->parent.get()) {
    path = absl::StrCat(at->name, path.empty() ? "" : "/", path);
  }
  return path;
}

}  // namespace

ErrnoOr<std::vector<UnionFs::Finding>> UnionFs::Whence(const std::string& path) {
  MutexLock lock(&mu_);
  std::vector<Finding> findings;
  std::vector<std::string> names = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (names.empty()) {
    for (const LayerDirRef& layer : root_->dir->layers) findings.push_back({layer->branch->id(), "", "merged"});
    return findings;
  }
  Inode* dir = root_.get();
  Inode* inode = nullptr;
  // What is bound for this alone is forgotten again.
  auto forget = absl::MakeCleanup([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++dir->children;
    if (inode != nullptr) FreeIfUnused(inode);
    --dir->children;
    FreeIfUnused(dir);
  });
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    if (!dir->is_dir()) return Errno(ENOTDIR);
    ACETATE_RETURN_IF_ERROR(ListLocked(dir));
    ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, names[i]));
    ACETATE_ASSIGN_OR_RETURN(dir, Bind(dentry));
  }
  if (!dir->is_dir()) return Errno(ENOTDIR);
  ACETATE_RETURN_IF_ERROR(ListLocked(dir));
  Dentry* dentry = Find(dir, names.back());
  if (dentry != nullptr && dentry->hidden()) dentry = nullptr;
  if (dentry != nullptr) {
    ACETATE_ASSIGN_OR_RETURN(inode, Bind(dentry));
  }
  ACETATE_ASSIGN_OR_RETURN(findings, FindingsLocked(*dir->dir, names.back(), dentry));
  if (findings.empty()) return Errno(ENOENT);
  return findings;
}

ErrnoOr<std::vector<UnionFs::Finding>> UnionFs::FindingsLocked(const Directory& parent, const std::string& name,
                                                               const Dentry* shown) {
  std::vector<Finding> findings;
  for (const LayerDirRef& layer : parent.layers) {
    const Branch& branch = *layer->branch;
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer.get()));
    ACETATE_ASSIGN_OR_RETURN(LayerListing listing, ReadLayerName(branch, xattrs_, fd->get(), name));
    for (const LayerEntry& entry : listing.entries) {
      std::string what = "hidden";
      if (entry.whiteout) {
        what = listing.count_whiteouts ? "whiteout" : "whiteout that does not count";
      } else if (shown != nullptr && shown->home() == branch.id()) {
        what = "shown";
        const bool metacopy =
            entry.type == DT_REG && OverlayXattr::Get(branch, fd->get(), name.c_str(), xattrs_.metacopy()).ok();
        if (metacopy) what = "shown, without its contents";
      } else if (shown != nullptr && std::count(shown->layers.begin(), shown->layers.end(), branch.id()) != 0) {
        what = "merged";
      }
      findings.push_back({branch.id(), PathIn(*layer, name), what});
    }
  }
  if (shown == nullptr) return findings;
  Inode* inode = shown->inode;
  if (inode->is_dir()) {
    for (const LayerDirRef& layer : inode->dir->layers) {
      const std::string path = PathIn(*layer, "");
      auto same = std::find_if(findings.begin(), findings.end(), [&](const Finding& finding) {
        return finding.branch == layer->branch->id() && finding.path == path;
      });
      if (same == findings.end()) {
        findings.push_back({layer->branch->id(), path, "merged, by a redirect"});
        same = findings.end() - 1;
      }
      ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer.get()));
      if (IsOpaque(*layer->branch, xattrs_, fd->get())) same->what += ", opaque";
    }
  } else {
    ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
    if (const LowerData* data = inode->lower_data.get()) {
      const std::string path = PathIn(*data->dir, data->name);
      for (Finding& finding : findings) {
        if (finding.branch == data->dir->branch->id() && finding.path == path) finding.what = "contents";
      }
      if (findings.back().what != "contents") findings.push_back({data->dir->branch->id(), path, "contents"});
    }
    if (shown->home() != inode->home) {
      findings.insert(findings.begin(), {inode->home, "", "shown, by the index of links"});
    }
  }
  return findings;
}

}  // namespace acetate::fusefs
