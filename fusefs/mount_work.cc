#include "fusefs/mount_work.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {

MadeWork::MadeWork(const Options& options, const std::vector<OpenedBranch>& opened) {
  for (size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i].work_fd.valid()) continue;
    const std::string& workdir = options.branches[i].workdir;
    std::string inner = absl::StrCat(workdir, "/work");
    if (access(inner.c_str(), F_OK) != 0) made_.push_back(std::move(inner));
    if (opened[i].made_work) made_.push_back(workdir);
  }
}

MadeWork::~MadeWork() {
  for (const std::string& path : made_) rmdir(path.c_str());
}

absl::StatusOr<VolatileMarks> VolatileMarks::Open(const Options& options, const std::vector<OpenedBranch>& opened) {
  VolatileMarks marks;
  for (size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i].work_fd.valid()) continue;
    absl::StatusOr<VolatileMark> mark = VolatileMark::Open(opened[i].work_fd.get(), options.branches[i].workdir);
    if (!mark.ok()) return mark.status();
    if (options.sync == SyncMode::kVolatile && !options.read_only) marks.marks_.push_back(*std::move(mark));
  }
  return marks;
}

absl::Status VolatileMarks::Put() {
  for (VolatileMark& mark : marks_) {
    absl::Status status = mark.Put();
    if (status.ok()) continue;
    Remove();
    return status;
  }
  return absl::OkStatus();
}

void VolatileMarks::Remove() {
  for (VolatileMark& mark : marks_) mark.Remove().IgnoreError();
}

absl::Status VolatileMarks::Clear() {
  absl::Status first = absl::OkStatus();
  for (VolatileMark& mark : marks_) first.Update(mark.Clear());
  return first;
}

}  // namespace acetate::fusefs
