// The mark of a writable layer that is mounted without syncs: WORKDIR/work/incompat/volatile, as the kernel's overlayfs
// makes it. Who finds it knows that the layer was not unmounted in an orderly way, so that after a crash of the machine
// its files may be empty or torn. (The kernel leaves it even when it unmounts in an orderly way.)
//
// Owned by the daemon's main thread.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

class VolatileMark {
 public:
  // Refuses a work directory with the mark, or with another one that we do not know. `work_fd` is the directory of the
  // workdir option, `path` its name. To be called before anything in it is cleaned up.
  static absl::StatusOr<VolatileMark> Open(int work_fd, const std::string& path);
  // Whether the mark is there, for who only looks. Another mark that we do not know is an error.
  static absl::StatusOr<bool> IsThere(int work_fd, const std::string& path);
  // What the mark tells and what may be done about it, in words that follow its work directory's name.
  static std::string Advice(const std::string& path);

  // Makes the mark, in a work directory that is ready for use.
  absl::Status Put();
  // After the end of the mount: what was written goes to the disk, then the mark is taken away.
  absl::Status Clear();
  // Takes the mark away when nothing has been written.
  absl::Status Remove();

 private:
  VolatileMark(UniqueFd work, std::string path) : work_(std::move(work)), path_(std::move(path)) {}

  UniqueFd work_;
  std::string path_;
};

}  // namespace acetate::fusefs
