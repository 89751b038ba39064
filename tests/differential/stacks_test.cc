// Random system calls in mounted unions of several branches, several of them writable, and the same in a plain
// directory: every errno, what open files read, and every few dozen calls the whole tree must agree; so must the tree
// after an unmount and a mount in the middle.
//
// A union may refuse with EXDEV or EROFS what a plain directory does not: the call is then left out there, and counted.
// ACETATE_STACKS_SEEDS=FIRST-LAST runs other seeds. A failing one says what it did last.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/differential/mounted_stack.h"

namespace acetate::differential {
namespace {

constexpr int kCalls = 400;
constexpr int kCompareEvery = 40;
constexpr size_t kRemembered = 60;  // calls that a failure prints

const std::vector<std::vector<std::string>>& Stacks() {
  static const auto& stacks = *new std::vector<std::vector<std::string>>{
      {"rw", "rw", "ro+wh"},    {"rw", "ro+wh", "rw", "ro+wh"},       {"rw+dotwh", "rw", "ro+wh"},
      {"ro+wh", "rw", "ro+wh"}, {"rw", "rw+dotwh", "rw", "ro+dotwh"},
  };
  return stacks;
}

// A call's result, or its errno as a negative number.
int64_t Result(int64_t result) { return result < 0 ? -errno : result; }

class Round {
 public:
  Round(uint64_t seed, const std::string& base)
      : random_(seed),
        stack_(base, Stacks()[seed % Stacks().size()]),
        top_is_read_only_(Stacks()[seed % Stacks().size()][0][1] == 'o'),
        plain_(base + "/plain") {
    static const char* const kCreate[] = {"tdp", "ff", "mfs", "rr", "pmfs"};
    static const char* const kCopyUp[] = {"tdp", "bup", "bu"};
    options_ = {absl::StrCat("create=", kCreate[Below(5)]), absl::StrCat("cpup=", kCopyUp[Below(3)]),
                absl::StrCat("lazy_copy_up_min=", Chance(2) ? "65536" : "off"),
                absl::StrCat("metacopy=", Chance(2) ? "on" : "off"), "sync=volatile"};
    // There is no request for an open: what the kernel has collected by then cannot be refused any more.
    if (Chance(4) && !top_is_read_only_) options_.push_back("writeback");
    Populate();
    MakeDirs(plain_);
    stack_.Mount(options_);
    CopyToPlain("");
  }

  // What differs first; empty when nothing does.
  std::string Run() {
    Compare();
    for (int i = 0; i < kCalls && difference_.empty(); ++i) {
      Call();
      if (difference_.empty() && i % kCompareEvery == kCompareEvery - 1) Compare();
      if (difference_.empty() && i == kCalls / 2) MountAgain();
    }
    if (difference_.empty()) MountAgain();
    open_.clear();
    if (stack_.Unmount() != 0 && difference_.empty()) difference_ = "the daemon failed: " + stack_.Log();
    return difference_;
  }

  std::string History() const {
    std::string text =
        absl::StrCat("mounted with ", absl::StrJoin(options_, ","), "\n", absl::StrJoin(history_, "\n"), "\n");
    for (size_t i = 0; i < stack_.size(); ++i) {
      absl::StrAppend(&text, "branch ", i, " holds\n");
      for (const auto& [path, what] : TreeOf(stack_.Branch(i))) absl::StrAppend(&text, "  ", path, ": ", what, "\n");
    }
    return text;
  }
  int refused() const { return refused_; }

 private:
  // A file open in both.
  struct Open {
    std::string path;  // when it was opened
    UniqueFd fd;
    UniqueFd plain;
    bool writable = false;
  };

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(int one_in) { return Below(one_in) == 0; }
  std::string RandomPath() {
    static const char* const kNames[] = {"a", "b", "c", "d"};
    std::string path = kNames[Below(4)];
    for (int depth = Below(3); depth > 0; --depth) absl::StrAppend(&path, "/", kNames[Below(4)]);
    return path;
  }
  std::string RandomData() {
    const int size = Chance(5) ? 100000 + Below(100000) : Below(60);
    return std::string(static_cast<size_t>(size), static_cast<char>('a' + Below(26)));
  }
  std::string Plain(const std::string& path) const { return plain_ + "/" + path; }

  // Each branch gets a tree of its own, with whiteouts in it.
  void Populate() {
    for (size_t i = 0; i < stack_.size(); ++i) {
      for (int n = 0; n < 14; ++n) {
        const std::string path = RandomPath();
        const std::string full = absl::StrCat(stack_.Branch(i), "/", path);
        const std::string dir = full.substr(0, full.rfind('/'));
        struct stat st;
        if (lstat(full.c_str(), &st) == 0 || !MakeDirsIfFree(stack_.Branch(i), path)) continue;
        switch (Below(6)) {
          case 0:
            mkdir(full.c_str(), 0755);
            break;
          case 1:
            if (!stack_.HasMarks(i)) mknod(full.c_str(), S_IFCHR, 0);
            if (stack_.HasMarks(i)) WriteFile(absl::StrCat(dir, "/.wh.", full.substr(dir.size() + 1)), "");
            break;
          case 2:
            if (symlink("target", full.c_str()) != 0) abort();
            break;
          default:
            WriteFile(full, RandomData(), Chance(2) ? 0644 : 0600);
        }
      }
    }
  }
  static bool MakeDirsIfFree(const std::string& root, const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const std::string dir = absl::StrCat(root, "/", path.substr(0, slash));
      struct stat st;
      if (mkdir(dir.c_str(), 0755) != 0 && (lstat(dir.c_str(), &st) != 0 || !S_ISDIR(st.st_mode))) return false;
    }
    return true;
  }
  void CopyToPlain(const std::string& path) {
    for (const auto& [name, text] : TreeOf(stack_.Path(path))) {
      struct stat st;
      if (lstat(stack_.Path(name).c_str(), &st) != 0) continue;  // the comparison says so
      if (S_ISDIR(st.st_mode)) mkdir(Plain(name).c_str(), st.st_mode & 07777);
      if (S_ISLNK(st.st_mode) && symlink("target", Plain(name).c_str()) != 0) abort();
      if (S_ISREG(st.st_mode)) WriteFile(Plain(name), ReadFile(stack_.Path(name)), st.st_mode & 07777);
    }
  }

  void Compare() {
    difference_ = FirstDifference(TreeOf(stack_.Path("")), TreeOf(plain_));
    for (const Open& open : open_) CompareOpen(open);
  }
  void CompareOpen(const Open& open) {
    if (!difference_.empty()) return;
    struct stat got, want;
    if (fstat(open.fd.get(), &got) != 0 || fstat(open.plain.get(), &want) != 0) {
      difference_ = absl::StrCat("fstat of what was ", open.path, ": ", strerror(errno));
    } else if (got.st_mode != want.st_mode || got.st_size != want.st_size || got.st_nlink != want.st_nlink) {
      difference_ = absl::StrCat("what was ", open.path, " has mode ", got.st_mode, ", size ", got.st_size, ", links ",
                                 got.st_nlink, ", not ", want.st_mode, ", ", want.st_size, ", ", want.st_nlink);
    } else {
      std::string a(static_cast<size_t>(want.st_size) + 1, '\0'), b = a;
      const int64_t n = Result(pread(open.fd.get(), a.data(), a.size(), 0));
      const int64_t m = Result(pread(open.plain.get(), b.data(), b.size(), 0));
      if (n != m || a != b) difference_ = absl::StrCat("what was ", open.path, " reads otherwise: ", n, ", not ", m);
    }
  }

  void MountAgain() {
    open_.clear();
    Note("unmount, mount");
    if (const int status = stack_.Unmount(); status != 0) {
      difference_ = absl::StrCat("the daemon ended with ", status, ": ", stack_.Log());
    }
    stack_.Mount(options_);
    if (difference_.empty()) Compare();
  }

  void Note(const std::string& what) {
    history_.push_back(what);
    if (history_.size() > kRemembered) history_.pop_front();
  }

  // Does a call in the union and, unless that refuses, in the plain directory. True when both did it.
  bool Both(const std::string& what, const std::function<int64_t(bool in_union)>& call) {
    const int64_t got = Result(call(true));
    Note(absl::StrCat(what, ": ", got));
    if (got == -EXDEV || got == -EROFS) {
      ++refused_;
      return false;
    }
    const int64_t want = Result(call(false));
    if (got != want) difference_ = absl::StrCat(what, ": ", got, " where a plain directory has ", want);
    return got == want && got >= 0;
  }
  // The same of calls that take one path.
  bool BothAt(const std::string& what, const std::string& path, const std::function<int64_t(const char*)>& call) {
    return Both(absl::StrCat(what, " ", path),
                [&](bool in_union) { return call(in_union ? stack_.Path(path).c_str() : Plain(path).c_str()); });
  }
  bool BothAt(const std::string& what, const std::string& a, const std::string& b,
              const std::function<int64_t(const char*, const char*)>& call) {
    return Both(absl::StrCat(what, " ", a, " ", b), [&](bool in_union) {
      return in_union ? call(stack_.Path(a).c_str(), stack_.Path(b).c_str()) : call(Plain(a).c_str(), Plain(b).c_str());
    });
  }

  void Call() {
    const std::string path = RandomPath();
    switch (Below(16)) {
      case 0:
        BothAt("mkdir", path, [](const char* p) { return mkdir(p, 0755); });
        return;
      case 1:
        BothAt("rmdir", path, [](const char* p) { return rmdir(p); });
        return;
      case 2:
      case 3:
        BothAt("unlink", path, [](const char* p) { return unlink(p); });
        return;
      case 4:
      case 5: {
        static const unsigned kFlags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
        const unsigned flags = kFlags[Below(4)];
        BothAt(absl::StrCat("rename (flags ", flags, ")"), path, RandomPath(),
               [&](const char* a, const char* b) { return renameat2(AT_FDCWD, a, AT_FDCWD, b, flags); });
        return;
      }
      case 6:
        BothAt("link", path, RandomPath(), [](const char* a, const char* b) { return link(a, b); });
        return;
      case 7:
        BothAt("symlink", path, [](const char* p) { return symlink("target", p); });
        return;
      case 8: {
        // Of symlinks it would be the target that is meant, which is not there.
        const mode_t mode = Chance(2) ? 0700 : 0644 | static_cast<mode_t>(Below(2));
        BothAt("chmod", path, [&](const char* p) { return chmod(p, mode); });
        return;
      }
      case 9:
        CallTimes(path);
        return;
      case 10: {
        const off_t size = Below(150000);
        BothAt(absl::StrCat("truncate (", size, ")"), path, [&](const char* p) { return truncate(p, size); });
        return;
      }
      case 11:
      case 12:
        CallOpen(path);
        return;
      default:
        CallOnOpen();
    }
  }

  void CallTimes(const std::string& path) {
    const timespec times[2] = {{1000000 + Below(1000000), 0}, {1000000 + Below(1000000), Below(1000000000)}};
    if (!BothAt("utimensat", path, [&](const char* p) { return utimensat(AT_FDCWD, p, times, AT_SYMLINK_NOFOLLOW); })) {
      return;
    }
    struct stat st;
    if (lstat(stack_.Path(path).c_str(), &st) != 0 || st.st_mtim.tv_sec != times[1].tv_sec ||
        st.st_mtim.tv_nsec != times[1].tv_nsec) {
      difference_ = absl::StrCat("the times of ", path, " are not as set");
    }
  }

  void CallOpen(const std::string& path) {
    static const int kFlags[] = {O_RDONLY,         O_RDWR,           O_RDWR,
                                 O_RDWR | O_CREAT, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL,
                                 O_RDWR | O_TRUNC, O_RDWR | O_APPEND};
    const int flags = kFlags[Below(8)];
    Open opened;
    opened.path = path;
    opened.writable = (flags & O_ACCMODE) == O_RDWR;
    Both(absl::StrCat("open ", path, " flags ", flags), [&](bool in_union) {
      UniqueFd& fd = in_union ? opened.fd : opened.plain;
      fd.Reset(open((in_union ? stack_.Path(path) : Plain(path)).c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644));
      return fd.valid() ? 0 : -1;
    });
    struct stat st;
    if (!opened.fd.valid() || !opened.plain.valid()) return;
    if (fstat(opened.plain.get(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    if (open_.size() > 7) open_.erase(open_.begin() + Below(8));
    open_.push_back(std::move(opened));
  }

  void CallOnOpen() {
    if (open_.empty()) return;
    const Open& open = open_[static_cast<size_t>(Below(static_cast<int>(open_.size())))];
    const auto both = [&](const std::string& what, const std::function<int64_t(int)>& call) {
      return Both(absl::StrCat(what, " of what was ", open.path),
                  [&](bool in_union) { return call(in_union ? open.fd.get() : open.plain.get()); });
    };
    switch (Below(6)) {
      case 0: {
        const off_t size = Below(200000);
        both(absl::StrCat("ftruncate (", size, ")"), [&](int fd) { return ftruncate(fd, size); });
        return;
      }
      case 1:
        both("fsync", [](int fd) { return fsync(fd); });
        return;
      case 2:
        CompareOpen(open);
        return;
      case 3:
        both("mmap", [&](int fd) { return WriteMapped(fd, open.writable); });
        return;
      default: {
        const std::string data = RandomData();
        const off_t offset = Chance(3) ? Below(120000) : 0;
        both(absl::StrCat("pwrite (", data.size(), " at ", offset, ")"),
             [&](int fd) { return pwrite(fd, data.data(), data.size(), offset); });
      }
    }
  }
  // The middle byte, by a shared mapping; or that byte read. -1 when there is none.
  int64_t WriteMapped(int fd, bool writable) const {
    struct stat st;
    if (fstat(fd, &st) != 0) return -1;
    const auto size = static_cast<size_t>(st.st_size);
    if (writable && top_is_read_only_) {
      // Refused at the msync it would stay in the page cache: whether it will be is asked before.
      char byte;
      const auto at = static_cast<off_t>(size / 2);
      if (pread(fd, &byte, 1, at) == 1 && pwrite(fd, &byte, 1, at) < 0) return -1;
    }
    void* map = mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return -1;
    char* middle = static_cast<char*>(map) + size / 2;
    const char was = *middle;
    if (writable) *middle = 'M';
    const int synced = msync(map, size, MS_SYNC);
    munmap(map, size);
    return synced != 0 ? -1 : was;
  }

  std::mt19937_64 random_;
  MountedStack stack_;
  const bool top_is_read_only_;
  const std::string plain_;
  std::vector<std::string> options_;
  std::vector<Open> open_;
  std::deque<std::string> history_;
  std::string difference_;
  int refused_ = 0;
};

TEST(StacksTest, AMountedUnionIsAPlainDirectory) {
  if (geteuid() != 0) GTEST_SKIP() << "making whiteouts that are devices needs root";
  umask(0);
  uint64_t first = 1, last = 300;
  if (const char* seeds = getenv("ACETATE_STACKS_SEEDS")) {
    const std::vector<std::string> ends = absl::StrSplit(seeds, '-');
    ASSERT_TRUE(ends.size() == 2 && absl::SimpleAtoi(ends[0], &first) && absl::SimpleAtoi(ends[1], &last)) << seeds;
  }
  int refused = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const TempDir base;
    Round round(seed, base.path());
    const std::string difference = round.Run();
    refused += round.refused();
    ASSERT_EQ(difference, "") << "seed " << seed << ", stack " << absl::StrJoin(Stacks()[seed % Stacks().size()], ":")
                              << "\n"
                              << round.History();
  }
  RecordProperty("refused", refused);
  printf("%d calls of %d were refused\n", refused, static_cast<int>(last - first + 1) * kCalls);
}

}  // namespace
}  // namespace acetate::differential
