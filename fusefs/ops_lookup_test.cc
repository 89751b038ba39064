#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Names = std::map<std::string, unsigned char>;
using LookupTest = UnionFsTest;

// Takes `room` entries, then has none.
class LimitedSink : public DirSink {
 public:
  explicit LimitedSink(size_t room) : room_(room) {}
  bool Fits(absl::string_view) override { return names.size() < room_; }
  void Add(const std::string& name, uint64_t next, uint64_t ino, mode_t, const Entry* entry) override {
    names.push_back(name);
    inos[name] = ino;
    offset = next;
    if (entry != nullptr) nodes[name] = entry->node;
  }
  std::vector<std::string> names;
  std::map<std::string, uint64_t> inos;
  std::map<std::string, NodeId> nodes;
  uint64_t offset = 0;

 private:
  const size_t room_;
};

TEST_F(LookupTest, TheTopmostLayerIsShown) {
  WriteFile(*this / "upper/a", "upper");
  WriteFile(*this / "lower/a", "lower");
  WriteFile(*this / "lower/b", "lower");
  WriteFile(*this / "bottom/b", "bottom");
  WriteFile(*this / "bottom/c", "bottom");
  Start();
  EXPECT_EQ(Contents("a"), "upper");
  EXPECT_EQ(Contents("b"), "lower");
  EXPECT_EQ(Contents("c"), "bottom");
  EXPECT_EQ(LookupError("d"), ENOENT);
  EXPECT_EQ(List(""), (Names{{"a", DT_REG}, {"b", DT_REG}, {"c", DT_REG}}));
}

TEST_F(LookupTest, OpaqueDirectoryEndsMerging) {
  for (const char* layer : {"upper", "lower", "bottom"}) {
    MakeDirs(*this / absl::StrCat(layer, "/d"));
    WriteFile(*this / absl::StrCat(layer, "/d/", layer), "");
  }
  ASSERT_EQ(setxattr((*this / "lower/d").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  Start();
  EXPECT_EQ(List("d"), (Names{{"upper", DT_REG}, {"lower", DT_REG}}));
}

TEST_F(LookupTest, MergedDirectoryHasOneLink) {
  MakeDirs(*this / "lower/d");
  MakeDirs(*this / "bottom/d");
  MakeDirs(*this / "bottom/e/sub");
  Start();
  EXPECT_EQ(Attr("d").st_nlink, 1u);
  EXPECT_EQ(Attr("e").st_nlink, 3u);
}

TEST_F(LookupTest, XattrWhiteoutsCountInMarkedDirectories) {
  MakeDirs(*this / "lower/d");
  MakeDirs(*this / "bottom/d");
  for (const char* name : {"/d/gone", "/d/kept"}) WriteFile(*this / absl::StrCat("bottom", name), "");
  WriteFile(*this / "lower/d/gone", "");
  ASSERT_EQ(setxattr((*this / "lower/d/gone").c_str(), "user.overlay.whiteout", "", 0, 0), 0);
  ASSERT_EQ(setxattr((*this / "lower/d").c_str(), "user.overlay.opaque", "x", 1, 0), 0);
  Start();
  EXPECT_EQ(List("d"), (Names{{"kept", DT_REG}}));
}

TEST_F(LookupTest, ListingGoesOnWhereItStopped) {
  for (int i = 0; i < 20; ++i) WriteFile(*this / absl::StrCat("lower/f", i), "");
  Start();
  std::vector<std::string> all;
  uint64_t offset = 0;
  for (;;) {
    LimitedSink sink(3);
    ASSERT_TRUE(fs_->ReadDir(kRootId, offset, false, &sink).ok());
    if (sink.names.empty()) break;
    all.insert(all.end(), sink.names.begin(), sink.names.end());
    offset = sink.offset;
  }
  EXPECT_EQ(all.size(), 22u);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

TEST_F(LookupTest, EntriesThatStayAreNeitherMissedNorDoubled) {
  for (int i = 0; i < 100; ++i) WriteFile(*this / absl::StrCat("lower/f", i), "");
  Start();
  std::vector<std::string> seen;
  uint64_t offset = 0;
  for (int round = 0;; ++round) {
    LimitedSink sink(10);
    ASSERT_TRUE(fs_->ReadDir(kRootId, offset, false, &sink).ok());
    if (sink.names.empty()) break;
    seen.insert(seen.end(), sink.names.begin(), sink.names.end());
    offset = sink.offset;
    // What was seen goes, something new comes: the rest of the listing must not shift.
    for (const std::string& name : sink.names) {
      if (name[0] == 'f') {
        ASSERT_TRUE(fs_->Unlink(kRootId, name).ok());
      }
    }
    if (round < 5) {
      ASSERT_TRUE(fs_->MkDir(kRootId, absl::StrCat("new", round), 0755, Caller{geteuid(), getegid()}).ok());
    }
  }
  int files = 0;
  for (const std::string& name : seen) files += name[0] == 'f' ? 1 : 0;
  EXPECT_EQ(files, 100);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_F(LookupTest, ListingAndStatAgreeOnInodeNumbers) {
  WriteFile(*this / "lower/a", "");
  MakeDirs(*this / "upper/d");
  MakeDirs(*this / "bottom/d");
  Start();
  LimitedSink sink(100);
  ASSERT_TRUE(fs_->ReadDir(kRootId, 0, false, &sink).ok());
  EXPECT_EQ(sink.inos["a"], Attr("a").st_ino);
  EXPECT_EQ(sink.inos["d"], Attr("d").st_ino);
  EXPECT_EQ(sink.inos["."], Attr("").st_ino);
}

TEST_F(LookupTest, PlusEntriesCountAsLookups) {
  WriteFile(*this / "lower/a", "");
  Start();
  LimitedSink sink(100);
  ASSERT_TRUE(fs_->ReadDir(kRootId, 0, true, &sink).ok());
  EXPECT_EQ(stats_.gauge(Gauge::kKnownInodes), 1);
  fs_->Forget(sink.nodes["a"], 1);
  EXPECT_EQ(stats_.gauge(Gauge::kKnownInodes), 0);
}

TEST_F(LookupTest, ForgottenTreesAreFreed) {
  MakeDirs(*this / "lower/a/b/c");
  Start();
  NodeId a = Node("a"), b = Node("a/b"), c = Node("a/b/c");
  // Node() counted every step: three lookups of a, two of b, one of c. Parents may be forgotten first.
  fs_->Forget(a, 3);
  fs_->Forget(b, 2);
  EXPECT_EQ(stats_.gauge(Gauge::kKnownInodes), 3);
  fs_->Forget(c, 1);
  EXPECT_EQ(stats_.gauge(Gauge::kKnownInodes), 0);
}

TEST_F(LookupTest, DotWhNamesAreOrdinaryUnlessTheBranchIsInThatFormat) {
  WriteFile(*this / "lower/.wh.a", "");
  WriteFile(*this / "bottom/a", "");
  Start();
  EXPECT_EQ(List(""), (Names{{".wh.a", DT_REG}, {"a", DT_REG}}));
}

// Bytes of this process that are in memory.
size_t Resident() {
  size_t total = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr || fscanf(file, "%zu %zu", &total, &resident) != 2) ADD_FAILURE() << "no /proc/self/statm";
  if (file != nullptr) fclose(file);
  return resident * static_cast<size_t>(getpagesize());
}

TEST_F(LookupTest, ManyKnownFilesTakeHalfAKilobyteEachAndGiveItBack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "memory is the sanitizer's";
#endif
  constexpr size_t kDirs = 120, kFiles = 1000;
  for (size_t d = 0; d < kDirs; ++d) {
    MakeDirs(absl::StrCat(*this / "lower/directory", d));
    for (size_t i = 0; i < kFiles; ++i) WriteFile(absl::StrCat(*this / "lower/directory", d, "/file", i), "");
  }
  Start();
  const size_t before = Resident();
  std::vector<NodeId> known;
  for (size_t d = 0; d < kDirs; ++d) {
    known.push_back(Node(absl::StrCat("directory", d)));
    LimitedSink sink(kFiles + 2);
    ASSERT_EQ(fs_->ReadDir(known.back(), 0, /*plus=*/true, &sink), 0);
    for (const auto& [name, node] : sink.nodes) known.push_back(node);
  }
  ASSERT_EQ(known.size(), kDirs * (kFiles + 1));
  EXPECT_LT(Resident() - before, known.size() * 512);
  const size_t most = Resident();
  for (auto node = known.rbegin(); node != known.rend(); ++node) fs_->Forget(*node, 1);
  EXPECT_LT(Resident() - before, (most - before) / 4);
}

}  // namespace
}  // namespace acetate::fusefs
