#include "launcher/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr size_t kLargestRecord = 1 << 16;

// Field 22 of /proc/PID/stat; 0 when there is no such process.
uint64_t StartTime(pid_t pid) {
  std::string stat = ReadFileOrEmpty(absl::StrCat("/proc/", pid, "/stat"));
  // The second field is the program's name in parentheses, which may hold anything.
  size_t end_of_name = stat.rfind(')');
  if (end_of_name == std::string::npos) return 0;
  std::vector<absl::string_view> fields = absl::StrSplit(absl::string_view(stat).substr(end_of_name + 1), ' ');
  uint64_t start = 0;
  // Before the third field stands a space, hence an empty string.
  if (fields.size() <= 20 || !absl::SimpleAtoi(fields[20], &start)) return 0;
  return start;
}

Errno Append(const UniqueFd& fd, absl::string_view text) {
  ssize_t n = write(fd.get(), text.data(), text.size());
  if (n < 0) return Errno::Last();
  return static_cast<size_t>(n) == text.size() ? kOk : Errno(ENOSPC);
}

}  // namespace

// One "key value" a line, values in C escapes.
std::string FormatRecord(const RunRecord& record) {
  std::string text;
  auto add = [&](absl::string_view key, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&text, key, " ", absl::CHexEscape(value), "\n");
  };
  add("container", record.container);
  add("remove", record.remove_container ? "yes" : "no");
  add("name", record.name_link);
  add("runtime", record.runtime_dir);
  for (const std::string& cgroup : record.cgroups) add("cgroup", cgroup);
  add("leaf", record.leaf);
  if (record.init != 0) absl::StrAppend(&text, "init ", record.init, " ", record.init_start, "\n");
  if (record.end >= 0) absl::StrAppend(&text, "end ", record.end, "\n");
  return text;
}

RunRecord ParseRecord(absl::string_view text) {
  RunRecord record;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    std::string value;
    if (!absl::CUnescape(field.second, &value)) continue;
    if (field.first == "container") record.container = value;
    if (field.first == "remove") record.remove_container = value == "yes";
    if (field.first == "name") record.name_link = value;
    if (field.first == "runtime") record.runtime_dir = value;
    if (field.first == "cgroup") record.cgroups.push_back(value);
    if (field.first == "leaf") record.leaf = value;
    if (field.first == "end" && !absl::SimpleAtoi(value, &record.end)) record.end = -1;
    if (field.first == "init") {
      std::vector<absl::string_view> numbers = absl::StrSplit(value, ' ');
      if (numbers.size() != 2 || !absl::SimpleAtoi(numbers[0], &record.init) ||
          !absl::SimpleAtoi(numbers[1], &record.init_start)) {
        record.init = 0;
      }
    }
  }
  return record;
}

absl::StatusOr<UniqueFd> CreateRecord(const std::string& path, const RunRecord& record) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0600);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("make ", path));
  // Whoever looks for stale records leaves alone one that is still empty, so what is between here and the write is
  // safe.
  Errno error = flock(fd->get(), LOCK_EX) == 0 ? Append(*fd, FormatRecord(record)) : Errno::Last();
  if (!error.ok()) {
    unlink(path.c_str());
    return ErrnoToStatus(error, absl::StrCat("write ", path));
  }
  return *std::move(fd);
}

Errno RecordInit(const UniqueFd& record, pid_t init) {
  return Append(record, absl::StrCat("init ", init, " ", StartTime(init), "\n"));
}

Errno RecordEnd(const UniqueFd& record, int exit_status) {
  return Append(record, absl::StrCat("end ", exit_status, "\n"));
}

void KillRecordedInit(const RunRecord& record) {
  if (record.init == 0) return;
  ErrnoOr<UniqueFd> pidfd = sys::PidFdOpen(record.init);
  // The start time is read after the fd was opened: if it is the recorded one, the fd is that process.
  if (!pidfd.ok() || StartTime(record.init) != record.init_start) return;
  if (!sys::PidFdSendSignal(pidfd->get(), SIGKILL).ok()) return;
  pollfd gone = {pidfd->get(), POLLIN, 0};
  poll(&gone, 1, 5000);
}

std::vector<Stale> FindStale(const std::string& root) {
  std::vector<Stale> stale;
  std::string directory = root + "/running";
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) return stale;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    ErrnoOr<UniqueFd> fd = sys::OpenAt(dirfd(dir.get()), entry->d_name, O_RDWR | O_NOFOLLOW);
    if (!fd.ok() || flock(fd->get(), LOCK_EX | LOCK_NB) != 0) continue;
    // Another launch may have cleaned it up between the opening and the locking; an empty one is being made.
    struct stat st;
    if (fstat(fd->get(), &st) != 0 || st.st_nlink == 0 || st.st_size == 0) continue;
    ErrnoOr<std::string> text = ReadFileAt(dirfd(dir.get()), entry->d_name, kLargestRecord);
    if (!text.ok()) continue;
    stale.push_back({*std::move(fd), absl::StrCat(directory, "/", entry->d_name), ParseRecord(*text)});
  }
  return stale;
}

}  // namespace acetate::launcher
