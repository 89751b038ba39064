#include "fusefs/layer_walk.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {
namespace {

// A directory on the way from the root to where the walk is.
struct Frame {
  std::vector<std::string> names;  // still to come, the next one last
  dev_t device = 0;
  ino_t inode = 0;
  size_t path_size = 0;  // of the directory's own path
  bool xattr_whiteouts = false;
};

class Walker {
 public:
  Walker(const Branch& branch, const LayerReading& reading, LayerVisitor* visitor)
      : branch_(branch), reading_(reading), visitor_(visitor) {}

  Errno Run() {
    ACETATE_ASSIGN_OR_RETURN(UniqueFd root, branch_.Open(branch_.root_fd(), ".", O_PATH | O_DIRECTORY));
    LayerObject object;
    ACETATE_ASSIGN_OR_RETURN(object.st, branch_.Stat(root.get(), ""));
    Enter(std::move(root), std::move(object));
    while (!frames_.empty()) {
      if (frames_.back().names.empty()) {
        ACETATE_RETURN_IF_ERROR(Leave());
        continue;
      }
      const std::string name = std::move(frames_.back().names.back());
      frames_.back().names.pop_back();
      path_.resize(frames_.back().path_size);
      absl::StrAppend(&path_, path_.empty() ? "" : "/", name);
      Errno error = Look(name);
      // Gone since it was listed, perhaps by the visitor.
      if (!error.ok() && !(error == ENOENT)) visitor_->Unreadable(path_, error);
    }
    return kOk;
  }

 private:
  Errno Look(const std::string& name) {
    LayerObject object;
    object.name = name;
    object.dirfd = object.parent_fd = fd_.get();
    object.path = path_;
    ACETATE_ASSIGN_OR_RETURN(object.st, branch_.Stat(fd_.get(), name.c_str()));
    if (object.is_dir()) {
      ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, branch_.Open(fd_.get(), name.c_str(), O_PATH | O_DIRECTORY));
      // It may have been replaced in between; the walk must know what it is in.
      ACETATE_ASSIGN_OR_RETURN(object.st, branch_.Stat(fd.get(), ""));
      Enter(std::move(fd), std::move(object));
      return kOk;
    }
    if (IsWhiteoutDevice(object.st.st_mode, object.st.st_rdev)) {
      object.whiteout = WhiteoutKind::kDevice;
    } else {
      ACETATE_ASSIGN_OR_RETURN(object.marks, ReadMarks(branch_, reading_.families, fd_.get(), name.c_str()));
      object.whiteout = KindOf(object);
    }
    visitor_->Visit(object);
    return kOk;
  }

  WhiteoutKind KindOf(const LayerObject& object) const {
    if (reading_.format == WhiteoutFormat::kDotWh && IsDotWhName(object.name)) return WhiteoutKind::kDotWh;
    const bool empty_file = S_ISREG(object.st.st_mode) && object.st.st_size == 0;
    const bool marked = frames_.back().xattr_whiteouts && object.marks.Find(MarkKind::kWhiteout) != nullptr;
    return empty_file && marked ? WhiteoutKind::kXattr : WhiteoutKind::kNone;
  }

  // `object` lacks what only the open directory tells.
  void Enter(UniqueFd fd, LayerObject object) {
    ErrnoOr<Marks> marks = ReadMarks(branch_, reading_.families, fd.get(), "");
    if (marks.ok()) object.marks = *std::move(marks);
    ErrnoOr<std::vector<RawEntry>> entries = branch_.ReadDir(fd.get());
    if (!marks.ok()) visitor_->Unreadable(path_, marks.error());
    if (marks.ok() && !entries.ok()) visitor_->Unreadable(path_, entries.error());
    object.path = path_;
    object.dirfd = fd.get();
    object.name.clear();
    const bool foreign_opaque = reading_.families != MarkFamilies::kTrusted && HasForeignOpaque(branch_, fd.get());
    object.opaque = object.marks.opaque() || foreign_opaque;
    Frame frame;
    frame.device = object.st.st_dev;
    frame.inode = object.st.st_ino;
    frame.path_size = path_.size();
    frame.xattr_whiteouts = object.marks.xattr_whiteouts();
    if (entries.ok()) {
      for (RawEntry& entry : *entries) {
        const bool opaque_file = reading_.format == WhiteoutFormat::kDotWh && entry.name == kDotWhOpaqueName;
        object.opaque = object.opaque || opaque_file;
        if (foreign_opaque && IsForeignOpaqueName(entry.name)) continue;
        frame.names.push_back(std::move(entry.name));
      }
      std::sort(frame.names.rbegin(), frame.names.rend());
    }
    frames_.push_back(std::move(frame));
    visitor_->EnterDir(object);
    fd_ = std::move(fd);
  }

  Errno Leave() {
    visitor_->LeaveDir();
    frames_.pop_back();
    if (frames_.empty()) return kOk;
    ACETATE_ASSIGN_OR_RETURN(UniqueFd parent, branch_.Open(fd_.get(), "..", O_PATH | O_DIRECTORY));
    ACETATE_ASSIGN_OR_RETURN(struct stat st, branch_.Stat(parent.get(), ""));
    if (st.st_dev != frames_.back().device || st.st_ino != frames_.back().inode) return Errno(ESTALE);
    fd_ = std::move(parent);
    return kOk;
  }

  const Branch& branch_;
  const LayerReading reading_;
  LayerVisitor* const visitor_;
  std::vector<Frame> frames_;
  UniqueFd fd_;       // the directory of the last frame
  std::string path_;  // of what is being looked at
};

}  // namespace

Errno WalkLayer(const Branch& branch, const LayerReading& reading, LayerVisitor* visitor) {
  return Walker(branch, reading, visitor).Run();
}

}  // namespace acetate::fusefs
