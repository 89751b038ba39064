// Random operations on random stacks of branches, and the same on a plain directory: every errno, the whole tree, and
// the tree as a second reader sees it on the disk must agree. ACETATE_STACK_SEEDS=FIRST-LAST runs other seeds, and
// shows what a failing one did.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fusefs/stack_scene.h"

namespace acetate::fusefs {
namespace {

constexpr int kOps = 400;

const std::vector<std::vector<std::string>>& Stacks() {
  static const auto* stacks = new std::vector<std::vector<std::string>>{
      {"rw", "ro+wh", "ro+wh"},       {"rw", "rw", "ro+wh"},
      {"rw", "ro+wh", "rw", "ro+wh"}, {"ro+wh", "rw", "ro+wh"},
      {"rw+dotwh", "ro+wh"},          {"rw", "rw+dotwh", "ro+dotwh"},
      {"ro+wh", "rw", "rw", "rw"},    {"rw+dotwh", "rw", "ro", "rw+dotwh", "ro+wh"},
  };
  return *stacks;
}

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : random_(seed), modes_(Stacks()[seed % Stacks().size()]), scene_(modes_) {
    Options& options = scene_.options_;
    options.metacopy = Chance(2);
    options.create_policy = static_cast<CreatePolicy>(Below(5));
    options.copy_up_policy = static_cast<CopyUpPolicy>(Below(3));
    if (Chance(5)) options.udba = Udba::kReval;
    options.lazy_copy_up_min = Chance(3) ? -1 : 100 << 10;
    Populate();
    for (size_t i = 0; i < modes_.size(); ++i) {
      for (const std::string& held : scene_.Held(static_cast<int>(i))) absl::StrAppend(&history_, i, "/", held, "\n");
    }
    scene_.Start();
    CopyToModel();
  }

  // The first difference; empty when all agree to the end.
  std::string Run() {
    for (int i = 0; i < kOps; ++i) {
      const std::string what = absl::StrCat("operation ", i, ", ", Step());
      absl::StrAppend(&history_, what, "\n");
      if (!difference_.empty()) return absl::StrCat(what, ": ", difference_);
      if (i % 10 == 0 || i + 1 == kOps) {
        Compare("the union", scene_.Tree());
        CompareOpen();
      }
      const bool anew = i % 100 == 99;
      if (difference_.empty() && anew) {
        open_.clear();
        scene_.Start();
        Compare("the union made anew", scene_.Tree());
      }
      // A file that is being copied is for its own union to read.
      const bool whole = scene_.options_.lazy_copy_up_min < 0 || !scene_.options_.metacopy;
      if (anew || (i % 40 == 39 && whole)) Compare("the disk", StackScene::Tree(*scene_.Reader()));
      if (!difference_.empty()) return absl::StrCat("after ", what, ": ", difference_);
    }
    open_.clear();
    scene_.fs_.reset();
    return scene_.WorkIsClean() ? "" : "something is left in a work directory";
  }

  int refused() const { return refused_; }
  // What the branches held at first, and what was done.
  const std::string& history() const { return history_; }

 private:
  // A file that is in use, in both.
  struct Open {
    NodeId node;
    UniqueFd fd;
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
    const size_t size = Chance(6) ? 150000 + static_cast<size_t>(Below(100000)) : static_cast<size_t>(Below(40));
    return std::string(size, static_cast<char>('a' + Below(26)));
  }

  // Each branch gets a tree of its own, made by a union of its own so that whiteouts are there too.
  void Populate() {
    for (size_t i = 0; i < modes_.size(); ++i) {
      for (int n = 0; n < 12; ++n) {
        const std::string path = absl::StrCat(i, "/", RandomPath());
        struct stat st;
        if (lstat((scene_ / path).c_str(), &st) == 0) continue;
        const std::string parent = path.substr(0, path.rfind('/'));
        if (system(absl::StrCat("mkdir -p '", scene_ / parent, "' 2>/dev/null").c_str()) != 0) continue;
        const bool dotwh = modes_[i].find("dotwh") != std::string::npos;
        switch (Below(6)) {
          case 0:
            mkdir((scene_ / path).c_str(), 0755);
            break;
          case 1:
            if (!dotwh) mknod((scene_ / path).c_str(), S_IFCHR, 0);
            if (dotwh) WriteFile(scene_ / absl::StrCat(parent, "/.wh.", path.substr(parent.size() + 1)), "");
            break;
          case 2:
            if (symlink("target", (scene_ / path).c_str()) != 0) abort();
            break;
          default:
            WriteFile(scene_ / path, RandomData(), Chance(2) ? 0644 : 0600);
        }
      }
    }
  }
  void CopyToModel() {
    for (const auto& [path, what] : scene_.Tree()) {
      const struct stat st = *scene_.fs_->GetAttr(scene_.Node(path));
      if (S_ISDIR(st.st_mode)) {
        MakeDirs(Plain(path));
        chmod(Plain(path).c_str(), st.st_mode & 07777);
      } else if (S_ISLNK(st.st_mode)) {
        if (symlink("target", Plain(path).c_str()) != 0) abort();
      } else {
        WriteFile(Plain(path), scene_.Contents(path), st.st_mode & 07777);
      }
    }
  }

  std::string Plain(const std::string& path) { return model_ / ("0/" + path); }

  // Whether the union refused what a plain directory would not: where branches that may not be written are in the way.
  bool Refused(int error) {
    if (error != EROFS && error != EXDEV) return false;
    // Nothing is in the way of a branch on top that takes all.
    if (std::count_if(modes_.begin(), modes_.end(), [](const std::string& mode) { return mode[1] == 'w'; }) == 1 &&
        modes_[0][1] == 'w') {
      difference_ = absl::StrCat("refused with errno ", error);
    }
    ++refused_;
    return true;
  }
  void Expect(int got, int64_t model_result) {
    const int want = model_result < 0 ? errno : 0;
    if (got != want) difference_ = absl::StrCat("errno ", got, " where a plain directory has ", want);
  }

  void Compare(const char* who, const std::map<std::string, std::string>& tree) {
    if (!difference_.empty()) return;
    const std::map<std::string, std::string> want = StackScene::Tree(*model_.Reader());
    for (const auto& [path, what] : want) {
      auto found = tree.find(path);
      if (found == tree.end()) {
        difference_ = absl::StrCat(who, " lacks ", path, " (", what, ")");
      } else if (found->second != what) {
        difference_ = absl::StrCat(who, " has ", path, " as ", found->second, ", not ", what);
      }
    }
    for (const auto& [path, what] : tree) {
      if (want.count(path) == 0) difference_ = absl::StrCat(who, " has ", path, " (", what, "), which is gone");
    }
  }

  void CompareOpen() {
    for (const Open& open : open_) {
      if (!difference_.empty()) return;
      struct stat want;
      fstat(open.fd.get(), &want);
      ErrnoOr<struct stat> got = scene_.fs_->GetAttr(open.node);
      if (!got.ok() || got->st_size != want.st_size || got->st_nlink != want.st_nlink || got->st_mode != want.st_mode) {
        difference_ =
            absl::StrCat("a file in use has errno ", got.error().value(), ", size ", got.ok() ? got->st_size : -1,
                         ", links ", got.ok() ? got->st_nlink : 0, ", not ", want.st_size, " and ", want.st_nlink);
        return;
      }
      std::string a(static_cast<size_t>(want.st_size) + 1, '\0'), b = a;
      ErrnoOr<size_t> size = scene_.fs_->Read(open.node, a.data(), a.size(), 0);
      const ssize_t plain = pread(open.fd.get(), b.data(), b.size(), 0);
      if (!size.ok() || static_cast<ssize_t>(*size) != plain || a != b) {
        difference_ = absl::StrCat("a file in use reads otherwise, errno ", size.error().value());
      }
    }
  }

  std::string Step() {
    const std::string path = RandomPath();
    const ParentAndName at = Split(*scene_.fs_, path);
    UnionFs& fs = *scene_.fs_;
    if (!IsDir(at.parent)) return absl::StrCat("nothing at ", path);
    switch (Below(12)) {
      case 0: {
        const int got = fs.MkDir(at.parent, at.name, 0755, {}).error().value();
        if (!Refused(got)) Expect(got, mkdir(Plain(path).c_str(), 0755));
        return absl::StrCat("mkdir ", path);
      }
      case 1: {
        const int got = fs.RmDir(at.parent, at.name).value();
        if (!Refused(got)) Expect(got, rmdir(Plain(path).c_str()));
        return absl::StrCat("rmdir ", path);
      }
      case 2:
      case 3: {
        const int got = fs.Unlink(at.parent, at.name).value();
        if (!Refused(got)) Expect(got == EISDIR ? 1 : got, PlainUnlink(path));
        return absl::StrCat("unlink ", path);
      }
      case 4:
      case 5:
        return StepRename(path, at);
      case 6: {
        const std::string target = RandomPath();
        const ParentAndName to = Split(fs, target);
        const NodeId node = scene_.Node(path);
        if (!IsDir(to.parent) || node == 0 || IsDir(node)) return "no link";
        const int got = fs.Link(node, to.parent, to.name).error().value();
        if (!Refused(got)) Expect(got, link(Plain(path).c_str(), Plain(target).c_str()));
        return absl::StrCat("link ", path, " ", target);
      }
      case 7: {
        const int got = fs.SymLink("target", at.parent, at.name, {}).error().value();
        if (!Refused(got)) Expect(got, symlink("target", Plain(path).c_str()));
        return absl::StrCat("symlink ", path);
      }
      case 8:
        return StepOpen(path, at);
      case 9: {
        const NodeId node = scene_.Node(path);
        if (node == 0 || S_ISLNK(fs.GetAttr(node)->st_mode)) return "no chmod";
        const mode_t mode = Chance(2) ? 0755 : 0700;
        const int got = scene_.Chmod(path, mode);
        if (!Refused(got)) Expect(got, chmod(Plain(path).c_str(), mode));
        return absl::StrCat("chmod ", path);
      }
      default:
        return StepContents(path, at);
    }
  }

  // The kernel follows paths; what it asks for lies in a directory.
  bool IsDir(NodeId node) { return node != 0 && S_ISDIR(scene_.fs_->GetAttr(node)->st_mode); }

  int PlainUnlink(const std::string& path) {
    struct stat st;
    if (lstat(Plain(path).c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
      errno = 1;
      return -1;
    }
    return unlink(Plain(path).c_str());
  }

  std::string StepRename(const std::string& path, const ParentAndName& at) {
    const std::string target = RandomPath();
    const ParentAndName to = Split(*scene_.fs_, target);
    // The kernel sees to that: a directory into itself, or over one that holds it.
    if (!IsDir(to.parent) || absl::StartsWith(target, path + "/") || absl::StartsWith(path, target + "/"))
      return "no rename";
    const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    const unsigned flag = flags[Below(4)];
    const int got = scene_.fs_->Rename(at.parent, at.name, to.parent, to.name, flag).value();
    if (!Refused(got)) Expect(got, renameat2(AT_FDCWD, Plain(path).c_str(), AT_FDCWD, Plain(target).c_str(), flag));
    return absl::StrCat("rename ", path, " ", target, " flags ", flag);
  }

  std::string StepOpen(const std::string& path, const ParentAndName& at) {
    if (open_.size() > 5) open_.erase(open_.begin());
    ErrnoOr<Entry> entry = scene_.fs_->Lookup(at.parent, at.name);
    if (!entry.ok() || !S_ISREG(entry->attr.st_mode)) return "no open";
    open_.push_back({entry->node, UniqueFd(open(Plain(path).c_str(), O_RDWR))});
    return absl::StrCat("open ", path);
  }

  std::string StepContents(const std::string& path, const ParentAndName& at) {
    UnionFs& fs = *scene_.fs_;
    NodeId node = 0;
    UniqueFd fd;
    if (!open_.empty() && Chance(3)) {
      const Open& open = open_[static_cast<size_t>(Below(static_cast<int>(open_.size())))];
      node = open.node;
      fd.Reset(dup(open.fd.get()));
    } else {
      ErrnoOr<Entry> entry = fs.Lookup(at.parent, at.name);
      if (!entry.ok()) {
        entry = fs.MkNod(at.parent, at.name, S_IFREG | 0644, 0, {});
        if (Refused(entry.error().value())) return "refused";
        Expect(entry.error().value(), 0);
      }
      if (!entry.ok() || !S_ISREG(entry->attr.st_mode)) return "no contents";
      node = entry->node;
      fd.Reset(open(Plain(path).c_str(), O_RDWR | O_CREAT, 0644));
    }
    if (Chance(4)) {
      AttrChange change;
      change.set_size = true;
      change.size = Below(200000);
      const int got = fs.SetAttr(node, change).error().value();
      if (!Refused(got)) Expect(got, ftruncate(fd.get(), change.size));
      return absl::StrCat("truncate ", path, " ", change.size);
    }
    const std::string data = RandomData();
    const off_t offset = Chance(3) ? Below(100000) : 0;
    ErrnoOr<Written> written = fs.Write(node, data.data(), data.size(), offset);
    if (!Refused(written.error().value())) {
      Expect(written.error().value(), pwrite(fd.get(), data.data(), data.size(), offset));
    }
    return absl::StrCat("write ", path, " ", data.size(), " at ", offset);
  }

  std::mt19937_64 random_;
  const std::vector<std::string> modes_;
  StackScene scene_;
  StackScene model_{{"ro"}};  // its one branch is the plain directory
  std::vector<Open> open_;
  std::string difference_;
  int refused_ = 0;
  std::string history_;
};

TEST(StackFuzzTest, TheUnionIsAPlainDirectory) {
  uint64_t first = 1, last = 80;
  if (const char* seeds = getenv("ACETATE_STACK_SEEDS")) {
    const std::vector<std::string> ends = absl::StrSplit(seeds, '-');
    ASSERT_TRUE(ends.size() == 2 && absl::SimpleAtoi(ends[0], &first) && absl::SimpleAtoi(ends[1], &last)) << seeds;
  }
  int refused = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    Fuzz fuzz(seed);
    const std::string difference = fuzz.Run();
    refused += fuzz.refused();
    if (getenv("ACETATE_STACK_SEEDS") != nullptr && !difference.empty()) printf("%s", fuzz.history().c_str());
    ASSERT_EQ(difference, "") << "seed " << seed << ", stack " << seed % Stacks().size();
  }
  RecordProperty("refused", refused);
}

}  // namespace
}  // namespace acetate::fusefs
