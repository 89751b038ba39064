// Layers with marks of the overlay that are garbage, or lies: redirects that climb out of the branch, run through
// symlinks or in circles, attributes cut short, too long, or on the wrong kind of object. Whatever they say, a union
// over them shows the plain object or EIO for it, never what lies outside of the layers, and never ends; nor do diff
// and check, whose repairs it survives as well. From fixed seeds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fusefs/check_command.h"
#include "fusefs/crash_scene.h"
#include "fusefs/diff_command.h"
#include "fusefs/name_sink.h"

namespace acetate::fusefs {
namespace {

[[maybe_unused]] const auto* const kOnTmpfs = ::testing::AddGlobalTestEnvironment(new OnTmpfs);

constexpr char kSecret[] = "what no union may show";

class MarkFuzzTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  MarkFuzzTest() : random_(GetParam()) {}

  size_t Below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random_); }

  template <typename T>
  const T& OneOf(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }

  // The same names in every layer, so that redirects have something to meet, and ways out of them.
  void BuildGarbage() {
    scene_.Put("outside/secret", kSecret);
    scene_.Put("outside/a/secret", kSecret);
    for (const char* layer : {"upper/", "lower/", "bottom/"}) {
      for (const char* name : {"a/f", "a/b/f", "a/b/c/f", "d/f", "d/e/f", "f", "g"}) {
        if (Below(4) != 0) scene_.Put(absl::StrCat(layer, name), absl::StrCat(layer, name));
      }
      scene_.PutSymlink("../outside", absl::StrCat(layer, "out"));
      scene_.PutSymlink(scene_ / "outside", absl::StrCat(layer, "abs"));
      if (scene_.Exists(absl::StrCat(layer, "a"))) scene_.PutSymlink("../..", absl::StrCat(layer, "a/up"));
      if (Below(3) == 0) scene_.PutWhiteout(absl::StrCat(layer, "w"));
    }
    for (size_t count = 2 + Below(8); count > 0; --count) PutMark();
    // The work directory holds what a daemon left, or somebody else.
    for (const char* dir : {"work/index/", "work/work/index/", "work/work/"}) {
      if (Below(2) == 0) scene_.Put(absl::StrCat(dir, OneOf<std::string>({"#1", "00", "zz", std::string(255, 'f')})));
    }
    outside_ = Describe("outside");
    lowers_ = Describe("lower") + Describe("bottom");
  }

  void PutMark() {
    static const std::vector<std::string> kDirs = {"a", "a/b", "a/b/c", "d", "d/e", ""};
    static const std::vector<std::string> kFiles = {"a/f", "a/b/f", "d/f", "f", "g"};
    static const std::vector<std::string> kMarks = {"redirect", "redirect", "redirect", "metacopy",
                                                    "metacopy", "opaque",   "origin",   "ino",
                                                    "nlink",    "impure",   "whiteout", "upper"};
    const std::string& mark = OneOf(kMarks);
    const bool of_dirs = mark == "redirect" || mark == "opaque" || mark == "impure";
    // Mostly on objects that it means something on.
    const std::string& object = OneOf(of_dirs != (Below(6) == 0) ? kDirs : kFiles);
    const std::string path =
        absl::StrCat(scene_ / OneOf<std::string>({"upper", "upper", "lower", "bottom"}), "/", object);
    SetMark(path, mark, mark == "metacopy" && Below(2) == 0 ? "" : Value());
    if (mark == "metacopy" && Below(2) == 0) SetMark(path, "redirect", Value());
  }

  // Some objects are not there, and some filesystems take no value of 64 KiB.
  void SetMark(const std::string& path, const std::string& mark, const std::string& value) {
    if (lsetxattr(path.c_str(), ("user.overlay." + mark).c_str(), value.data(), value.size(), 0) != 0) return;
    absl::StrAppend(&what_, path, " ", mark, "='", absl::CHexEscape(value.substr(0, 60)), "'\n");
  }

  std::string Value() {
    switch (Below(10)) {
      case 0:
        return "";
      case 1:
      case 8: {  // ways out
        return OneOf<std::string>({"..", ".", "../..", "../outside", "/..", "/../outside", "/a/../../outside", "/out",
                                   "/out/a", "out", "abs", "/abs", "/abs/a", "/a/up/outside", "up", "/a/up",
                                   scene_ / "outside"});
      }
      case 2:  // malformed
        return OneOf<std::string>({"/", "//", "a/", "/a/", "a/b", "//a", "/a//b", std::string("a\0b", 3),
                                   std::string("/a\0/../outside", 14), std::string("\0", 1), "/./a", "\xff/"});
      case 3:
      case 9:  // well-formed, true or not, with circles
        return OneOf<std::string>({"a", "b", "d", "/a", "/a/b", "/a/b/c", "/d", "/d/e", "/f", "f", "/none", "/f/x"});
      case 4:  // too long
        return OneOf<std::string>({std::string(255, 'n'), std::string(256, 'n'), std::string(5000, 'n'),
                                   std::string(65536, 'n'), "/" + std::string(65535, '/')});
      case 5: {  // a path of many parts
        std::string deep;
        for (int i = 0; i < 2000; ++i) deep += "/a";
        return deep;
      }
      case 6:
        return OneOf<std::string>({"y", "x", "Y", "yy", "U+1", "L-99999999999", "U", "n"});
      default: {
        std::string bytes(Below(80), '\0');
        for (char& byte : bytes) byte = static_cast<char>(Below(256));
        return bytes;
      }
    }
  }

  // All that a tree on disk holds, without its marks.
  std::string Describe(const std::string& dir) {
    std::map<std::string, std::string> lines;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scene_ / dir)) {
      struct stat st;
      EXPECT_EQ(lstat(entry.path().c_str(), &st), 0);
      std::string line = absl::StrCat(st.st_mode, " ", st.st_uid, " ", st.st_size, " ", st.st_mtim.tv_nsec);
      if (S_ISREG(st.st_mode)) absl::StrAppend(&line, " ", ReadFile(entry.path()));
      lines[entry.path()] = line;
    }
    return absl::StrJoin(lines, "\n", absl::PairFormatter(": "));
  }

  // Goes through all that the union shows, and remembers the paths.
  void Explore(CrashUnion* u) {
    paths_ = {""};
    for (size_t i = 0; i < paths_.size() && i < 300; ++i) {
      const std::string path = paths_[i];
      NodeId node = kRootId;
      Errno error = Find(u, path, &node);
      ExpectPlainOrEio(error, path);
      if (!error.ok()) continue;
      LookAt(u, node, path);
    }
  }

  Errno Find(CrashUnion* u, const std::string& path, NodeId* node) {
    *node = kRootId;
    for (absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
      ErrnoOr<Entry> entry = u->fs().Lookup(*node, std::string(name));
      if (!entry.ok()) return entry.error();
      *node = entry->node;
    }
    return kOk;
  }

  void LookAt(CrashUnion* u, NodeId node, const std::string& path) {
    ErrnoOr<struct stat> st = u->fs().GetAttr(node);
    ExpectPlainOrEio(st.error(), path);
    ErrnoOr<std::string> list = u->fs().ListXattr(node, Caller());
    EXPECT_TRUE(!list.ok() || !absl::StrContains(*list, "user.overlay.")) << path << " shows marks";
    if (!st.ok()) return;
    if (S_ISREG(st->st_mode)) {
      std::string contents(4096, '\0');
      ErrnoOr<size_t> size = u->fs().Read(node, contents.data(), contents.size(), 0);
      ExpectPlainOrEio(size.error(), path);
      EXPECT_FALSE(absl::StrContains(contents, kSecret)) << path;
    }
    if (!S_ISDIR(st->st_mode)) return;
    for (bool plus : {false, true}) {
      NameSink names;
      ExpectPlainOrEio(u->fs().ReadDir(node, 0, plus, &names), path);
      for (const std::string& name : names.names) {
        EXPECT_NE(name, "secret") << "in " << path;
        if (!plus) paths_.push_back(path.empty() ? name : absl::StrCat(path, "/", name));
      }
    }
  }

  void ExpectPlainOrEio(Errno error, const std::string& path) {
    EXPECT_TRUE(error.ok() || error == EIO) << path << ": errno " << error.value();
  }

  static std::string Parent(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }

  // Changes of all kinds, anywhere; what they return is the union's affair.
  void Change(CrashUnion* u) {
    NodeId from, to;
    const std::string path = OneOf(paths_);
    const std::string other = OneOf(paths_);
    if (!Find(u, path, &from).ok() || !Find(u, other, &to).ok()) return;
    NodeId from_dir, to_dir;
    if (!Find(u, Parent(path), &from_dir).ok() || !Find(u, Parent(other), &to_dir).ok()) return;
    const std::string name = path.substr(path.rfind('/') + 1), other_name = other.substr(other.rfind('/') + 1);
    AttrChange change;
    switch (Below(9)) {
      case 0:
        u->fs().Write(from, "new", 3, 2, false).error().IgnoreError();
        break;
      case 1:
        change.set_mode = true;
        change.mode = 0700;
        u->fs().SetAttr(from, change).error().IgnoreError();
        break;
      case 2:
        change.set_size = true;
        change.size = 2;
        u->fs().SetAttr(from, change).error().IgnoreError();
        break;
      case 3:
        u->fs().Unlink(from_dir, name).IgnoreError();
        break;
      case 4:
        u->fs().RmDir(from_dir, name).IgnoreError();
        break;
      case 5:
        u->fs().MkDir(from, "made", 0755, Caller()).error().IgnoreError();
        break;
      case 6:
        u->fs().Link(from, to_dir, "linked").error().IgnoreError();
        break;
      case 7:
        u->fs().Rename(from_dir, name, to_dir, other_name, 0).IgnoreError();
        break;
      default:
        u->fs().Rename(from_dir, name, to_dir, "renamed", 0).IgnoreError();
        break;
    }
  }

  CommandLine Command(const std::string& command, const std::vector<std::string>& more) {
    std::vector<std::string> args = {command, scene_ / "upper", "--lowerdir=" + scene_.Lowers()};
    args.insert(args.end(), more.begin(), more.end());
    return *ParseCommandLine(args);
  }

  LayerScene scene_;
  std::mt19937_64 random_;
  std::string what_;  // the marks, for the message
  std::string outside_, lowers_;
  std::vector<std::string> paths_;
};

TEST_P(MarkFuzzTest, PlainObjectOrEio) {
  BuildGarbage();
  SCOPED_TRACE(what_);
  Options options;
  options.xattr_namespace = XattrNamespace::kUser;
  options.skip_sync = true;
  {
    CrashUnion u(scene_, options);
    ASSERT_TRUE(u.ok());
    Explore(&u);
    for (int i = 0; i < 12; ++i) Change(&u);
  }
  {
    CrashUnion anew(scene_, options);
    ASSERT_TRUE(anew.ok());
    Explore(&anew);
  }
  const std::string work = "--workdir=" + scene_ / "work";
  DiffOutput(Command("diff", {"--userxattr"})).IgnoreError();
  DiffOutput(Command("diff", {"--userxattr", "--json", "--format=dotwh"})).IgnoreError();
  absl::StatusOr<CheckResult> repaired = RunCheck(Command("check", {"--userxattr", work, "--repair"}));
  EXPECT_TRUE(repaired.ok()) << repaired.status();
  absl::StatusOr<CheckResult> again = RunCheck(Command("check", {"--userxattr", work}));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(absl::StrContains(again->output, "--repair ")) << again->output << "was left by\n" << repaired->output;
  {
    CrashUnion mended(scene_, options);
    ASSERT_TRUE(mended.ok());
    Explore(&mended);
  }
  EXPECT_EQ(Describe("outside"), outside_);
  EXPECT_EQ(Describe("lower") + Describe("bottom"), lowers_);
}

INSTANTIATE_TEST_SUITE_P(Seeds, MarkFuzzTest, ::testing::Range<uint64_t>(1, 401));

}  // namespace
}  // namespace acetate::fusefs
