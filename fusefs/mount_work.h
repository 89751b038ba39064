// What a mount does in its work directories before and after it serves: takes back what a failed start made there, and
// keeps the marks of a volatile mount. Used by main, before there are threads and after the last has ended.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fusefs/open_branches.h"
#include "fusefs/options.h"
#include "fusefs/volatile_mark.h"

namespace acetate::fusefs {

// Directories that the mount makes in and around its work directories. Those that are empty go again, unless kept.
class MadeWork {
 public:
  // To be made before the union: what is not there yet is what this mount makes.
  MadeWork(const Options& options, const std::vector<OpenedBranch>& opened);
  ~MadeWork();
  MadeWork(const MadeWork&) = delete;
  MadeWork& operator=(const MadeWork&) = delete;
  void Keep() { made_.clear(); }

 private:
  std::vector<std::string> made_;
};

// The marks of a volatile mount, one for each work directory; none for any other mount.
class VolatileMarks {
 public:
  // Refuses work directories that an earlier volatile mount left unclean. To be called before they are cleaned up.
  static absl::StatusOr<VolatileMarks> Open(const Options& options, const std::vector<OpenedBranch>& opened);

  // All, or none.
  absl::Status Put();
  // When nothing has been written.
  void Remove();
  // After the end of the mount: see VolatileMark. Returns the first error.
  absl::Status Clear();

 private:
  std::vector<VolatileMark> marks_;
};

}  // namespace acetate::fusefs
