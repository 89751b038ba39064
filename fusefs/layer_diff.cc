#include "fusefs/layer_diff.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fusefs/overlay_xattr.h"
#include "fusefs/path_text.h"

namespace acetate::fusefs {
namespace {

constexpr size_t kBufferSize = 128 << 10;
const Caller kRoot;  // who is shown attributes of all namespaces

class Differ : public LayerVisitor {
 public:
  Differ(const Branch& upper, LowerView* lowers) : upper_(upper), identity_(Identity::OfProcess()), trail_(lowers) {}

  void EnterDir(const LayerObject& dir) override {
    const std::string name(dir.path.substr(dir.path.rfind('/') + 1));
    if (dir.path.empty()) {
      trail_.Enter(dir, name);
      return;
    }
    const Mark* redirect = GoodRedirect(dir);
    LowerFinding named = trail_.AtName(name);
    const bool moved = redirect != nullptr && !dir.opaque;
    // One that leads nowhere hides what lies under its own name.
    const bool dangling = moved && trail_.AtRedirect(redirect->value).answer == LowerFinding::kNothing;
    if (moved && !dangling) {
      AddRename(dir, trail_.PathOfRedirect(redirect->value));
    } else if (named.answer == LowerFinding::kNothing) {
      Add(ChangeKind::kAdded, dir);
    } else if (dir.opaque || dangling || (named.object.valid() && !named.object.is_dir())) {
      Add(ChangeKind::kReplaced, dir);
    } else if (named.answer == LowerFinding::kUnknown) {
      Add(dir.marks.Find(MarkKind::kOrigin) != nullptr ? ChangeKind::kChanged : ChangeKind::kAdded, dir);
    } else if (!SameAttributes(dir, named.object)) {
      Add(ChangeKind::kMetadata, dir);
    }
    trail_.Enter(dir, name);
  }

  void LeaveDir() override { trail_.Leave(); }

  void Visit(const LayerObject& object) override {
    if (object.whiteout != WhiteoutKind::kNone) {
      VisitWhiteout(object);
      return;
    }
    const bool metacopy = object.marks.Find(MarkKind::kMetacopy) != nullptr;
    // Some of its contents are its own and others still below: it was written to.
    const bool partial = metacopy && object.marks.Find(MarkKind::kPartial) != nullptr;
    const Mark* redirect = metacopy ? GoodRedirect(object) : nullptr;
    LowerFinding named = trail_.AtName(object.name);
    if (redirect != nullptr) {
      AddRename(object, trail_.PathOfRedirect(redirect->value));
    } else if (named.answer == LowerFinding::kNothing) {
      Add(ChangeKind::kAdded, object);
    } else if (named.answer == LowerFinding::kUnknown) {
      const bool copied = object.marks.Find(MarkKind::kOrigin) != nullptr;
      Add(metacopy && !partial ? ChangeKind::kMetadata
          : copied || partial  ? ChangeKind::kChanged
                               : ChangeKind::kAdded,
          object);
    } else if ((named.object.attr().st_mode & S_IFMT) != (object.st.st_mode & S_IFMT)) {
      Add(ChangeKind::kReplaced, object);
    } else if (partial || (!metacopy && !SameContents(object, named.object))) {
      Add(ChangeKind::kChanged, object);
    } else if (!SameAttributes(object, named.object)) {
      Add(ChangeKind::kMetadata, object);
    }
  }

  void Unreadable(absl::string_view path, Errno error) override {
    if (status_.ok()) status_ = ErrnoToStatus(error, absl::StrCat("'", PathText(path), "' in the layer"));
  }

  absl::StatusOr<std::vector<Change>> Finish(Errno walked) {
    if (!walked.ok()) return ErrnoToStatus(walked, "read the layer");
    if (!status_.ok()) return status_;
    // The whiteout that a rename left is no change of its own.
    for (Deletion& deletion : deletions_) {
      if (!renamed_from_.contains(deletion.lower_path)) changes_.push_back(std::move(deletion.change));
    }
    std::sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    return std::move(changes_);
  }

 private:
  struct Deletion {
    Change change;
    std::string lower_path;
  };

  static const Mark* GoodRedirect(const LayerObject& object) {
    const Mark* redirect = object.marks.Find(MarkKind::kRedirect);
    return redirect != nullptr && IsRedirect(redirect->value) ? redirect : nullptr;
  }

  void Add(ChangeKind kind, const LayerObject& object) {
    changes_.push_back({kind, std::string(object.path), "", object.st.st_mode & S_IFMT});
  }

  void AddRename(const LayerObject& object, std::string old_path) {
    renamed_from_.insert(old_path);
    changes_.push_back(
        {ChangeKind::kRenamed, std::string(object.path), std::move(old_path), object.st.st_mode & S_IFMT});
  }

  void VisitWhiteout(const LayerObject& object) {
    std::string hidden = object.name;
    if (object.whiteout == WhiteoutKind::kDotWh) hidden = std::string(DotWhHidden(object.name));
    if (hidden.empty()) return;  // a mark of the directory or of AUFS itself
    Change change{ChangeKind::kDeleted, std::string(object.path.substr(0, object.path.rfind('/') + 1)), "", 0};
    change.path += hidden;
    if (trail_.AtName(hidden).answer == LowerFinding::kNothing) {
      change.kind = ChangeKind::kNeedless;
      changes_.push_back(std::move(change));
      return;
    }
    // Beside an object of its own layer a `.wh.` file only says that this is no merged one.
    if (object.whiteout == WhiteoutKind::kDotWh && upper_.Stat(object.dirfd, hidden.c_str()).ok()) return;
    deletions_.push_back({std::move(change), trail_.PathOfName(hidden)});
  }

  void Fail(const LayerObject& object, Errno error) { Unreadable(object.path, error); }

  bool SameContents(const LayerObject& object, const LowerObject& lower) {
    switch (object.st.st_mode & S_IFMT) {
      case S_IFREG:
        return object.st.st_size == lower.attr().st_size && SameData(object, lower);
      case S_IFLNK: {
        ErrnoOr<std::string> target = upper_.ReadLink(object.dirfd, object.name.c_str());
        ErrnoOr<std::string> lower_target = lower.fs()->ReadLink(lower.node());
        return target.ok() && lower_target.ok() && *target == *lower_target;
      }
      case S_IFCHR:
      case S_IFBLK:
        return object.st.st_rdev == lower.attr().st_rdev;
      default:
        return true;
    }
  }

  bool SameData(const LayerObject& object, const LowerObject& lower) {
    ErrnoOr<UniqueFd> fd = upper_.Open(object.dirfd, object.name.c_str(), O_RDONLY | O_NONBLOCK);
    if (!fd.ok()) {
      Fail(object, fd.error());
      return true;
    }
    if (buffers_ == nullptr) buffers_ = std::make_unique<char[]>(2 * kBufferSize);
    char* const ours = buffers_.get();
    char* const theirs = ours + kBufferSize;
    for (off_t offset = 0; offset < object.st.st_size;) {
      const ssize_t size = pread(fd->get(), ours, kBufferSize, offset);
      if (size < 0) {
        Fail(object, Errno::Last());
        return true;
      }
      ErrnoOr<size_t> lower_size = lower.fs()->Read(lower.node(), theirs, static_cast<size_t>(size), offset);
      if (!lower_size.ok()) {
        Fail(object, lower_size.error());
        return true;
      }
      if (size == 0 || *lower_size != static_cast<size_t>(size) || !std::equal(ours, ours + size, theirs)) return false;
      offset += size;
    }
    return true;
  }

  // A directory's times follow from what is in it, and access times from looking.
  bool SameAttributes(const LayerObject& object, const LowerObject& lower) {
    const struct stat& ours = object.st;
    const struct stat& theirs = lower.attr();
    if (ours.st_mode != theirs.st_mode || identity_.ShownUid(ours.st_uid) != theirs.st_uid ||
        identity_.ShownGid(ours.st_gid) != theirs.st_gid) {
      return false;
    }
    const bool same_time =
        ours.st_mtim.tv_sec == theirs.st_mtim.tv_sec && ours.st_mtim.tv_nsec == theirs.st_mtim.tv_nsec;
    if (!object.is_dir() && !same_time) return false;
    return UpperXattrs(object) == LowerXattrs(lower);
  }

  // Those of the overlay itself left out, and the ones that applications set under its prefixes with them.
  using Xattrs = std::map<std::string, std::string>;

  // `get(key)` is the value.
  template <typename Get>
  static Xattrs Collect(const std::string& list, const Get& get) {
    Xattrs xattrs;
    for (absl::string_view name : absl::StrSplit(list, '\0', absl::SkipEmpty())) {
      if (HasMarkPrefix(name)) continue;
      const std::string key(name);
      ErrnoOr<std::string> value = get(key);
      xattrs[key] = value.ok() ? *std::move(value) : "";  // listed, but not ours to read
    }
    return xattrs;
  }

  Xattrs UpperXattrs(const LayerObject& object) {
    ErrnoOr<std::string> list = upper_.ListXattr(object.dirfd, object.name.c_str());
    const auto get = [&](const std::string& key) {
      return OverlayXattr::Get(upper_, object.dirfd, object.name.c_str(), key);
    };
    return list.ok() ? Collect(*list, get) : Xattrs();
  }

  Xattrs LowerXattrs(const LowerObject& lower) {
    ErrnoOr<std::string> list = lower.fs()->ListXattr(lower.node(), kRoot);
    const auto get = [&](const std::string& key) { return lower.fs()->GetXattr(lower.node(), key, XATTR_SIZE_MAX); };
    return list.ok() ? Collect(*list, get) : Xattrs();
  }

  const Branch& upper_;
  const Identity identity_;
  LowerTrail trail_;
  std::unique_ptr<char[]> buffers_;
  std::vector<Change> changes_;
  std::vector<Deletion> deletions_;
  absl::flat_hash_set<std::string> renamed_from_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<std::vector<Change>> DiffLayer(const Branch& upper, const LayerReading& reading, LowerView* lowers) {
  Differ differ(upper, lowers);
  const Errno walked = WalkLayer(upper, reading, &differ);
  return differ.Finish(walked);
}

}  // namespace acetate::fusefs
