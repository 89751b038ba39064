#include "launcher/id_files.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/error_line.h"
#include "launcher/files.h"

namespace acetate::launcher {

IdFiles::~IdFiles() {
  for (const std::string& path : {cid_file_, pid_file_}) {
    if (!path.empty()) unlink(path.c_str());
  }
}

absl::Status IdFiles::Make(const Spec& spec, const std::string& id) {
  if (!spec.cid_file.empty()) {
    std::string what = absl::StrCat("--cidfile: make ", spec.cid_file);
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, spec.cid_file.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), what);
    cid_file_ = spec.cid_file;
    if (Errno error = WriteAll(fd->get(), id); !error.ok()) return ErrnoToStatus(error, what);
  }
  if (!spec.pid_file.empty()) {
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, spec.pid_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("--pidfile: make ", spec.pid_file));
    pid_file_ = spec.pid_file;
    pid_fd_ = *std::move(fd);
  }
  return absl::OkStatus();
}

void IdFiles::Started(pid_t pid) {
  if (pid_fd_.valid() && !WriteAll(pid_fd_.get(), absl::StrCat(pid, "\n")).ok()) {
    PrintErrorLine(absl::StrCat("--pidfile: ", pid_file_, " could not be written"));
  }
  cid_file_.clear();
  pid_file_.clear();
}

}  // namespace acetate::launcher
