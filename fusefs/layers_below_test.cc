// Directories that were moved, and what of them is in lower layers.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;

class LayersBelowTest : public UnionFsTest {
 protected:
  Errno Rename(const std::string& from, const std::string& to, unsigned flags = 0) {
    auto split = [](const std::string& path) {
      const size_t slash = path.rfind('/');
      return slash == std::string::npos ? std::make_pair(std::string(), path)
                                        : std::make_pair(path.substr(0, slash), path.substr(slash + 1));
    };
    return fs_->Rename(Node(split(from).first), split(from).second, Node(split(to).first), split(to).second, flags);
  }
  std::string RedirectOf(const std::string& path) {
    char value[256];
    ssize_t size = lgetxattr((*this / path).c_str(), "user.overlay.redirect", value, sizeof(value));
    return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
  }
  void SetRedirect(const std::string& path, const std::string& value) {
    ASSERT_EQ(setxattr((*this / path).c_str(), "user.overlay.redirect", value.data(), value.size(), 0), 0);
  }
  uint64_t ListedIno(const std::string& path, const std::string& name) {
    class Find : public DirSink {
     public:
      explicit Find(std::string name) : name(std::move(name)) {}
      bool Fits(absl::string_view) override { return true; }
      void Add(const std::string& found, uint64_t, uint64_t number, mode_t, const Entry*) override {
        if (found == name) ino = number;
      }
      const std::string name;
      uint64_t ino = 0;
    };
    Find sink(name);
    EXPECT_TRUE(fs_->ReadDir(Node(path), 0, false, &sink).ok());
    return sink.ino;
  }
};

TEST_F(LayersBelowTest, ALowerDirectoryMovesWithoutACopyOfItsContents) {
  MakeDirs(*this / "lower/d/sub");
  Put("lower/d/sub/file", "data");
  Put("bottom/d/other", "older");
  Start();
  const uint64_t ino = Attr("d").st_ino;
  EXPECT_TRUE(Rename("d", "e").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(LookupError("d"), ENOENT);
    EXPECT_EQ(Contents("e/sub/file"), "data");
    EXPECT_EQ(Contents("e/other"), "older");
    EXPECT_EQ(ListedIno("", "e"), ino);
    EXPECT_EQ(Attr("e").st_ino, ino);
    Restart();
  }
  EXPECT_EQ(Upper(), (Strings{"d (whiteout)", "e/"}));
  EXPECT_EQ(RedirectOf("upper/e"), "/d");
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(LayersBelowTest, TheRedirectStaysWhereTheLayersHaveIt) {
  MakeDirs(*this / "lower/a/b/c");
  Put("lower/a/b/c/file", "data");
  Start();
  EXPECT_TRUE(Rename("a/b", "b").ok());
  EXPECT_TRUE(Rename("b", "a/x").ok());
  EXPECT_TRUE(Rename("a", "y").ok());
  EXPECT_TRUE(Rename("y/x/c", "c").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("c/file"), "data");
    EXPECT_TRUE(List("y/x").empty());
    Restart();
  }
  EXPECT_EQ(RedirectOf("upper/y"), "/a");
  EXPECT_EQ(RedirectOf("upper/y/x"), "/a/b");
  EXPECT_EQ(RedirectOf("upper/c"), "/a/b/c");
}

TEST_F(LayersBelowTest, AnotherDirectoryTakesTheOldName) {
  MakeDirs(*this / "lower/d");
  Put("lower/d/file", "data");
  Start();
  EXPECT_TRUE(Rename("d", "e").ok());
  EXPECT_TRUE(fs_->MkDir(kRootId, "d", 0755, Caller{}).ok());
  EXPECT_TRUE(Rename("e", "d/e").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(List("d").size(), 1u);
    EXPECT_EQ(Contents("d/e/file"), "data");
    Restart();
  }
}

TEST_F(LayersBelowTest, MovedOverAnEmptyDirectoryItHidesIt) {
  MakeDirs(*this / "lower/d");
  Put("lower/d/file", "data");
  MakeDirs(*this / "lower/e");
  Put("lower/e/theirs", "theirs");
  Start();
  EXPECT_TRUE(fs_->Unlink(Node("e"), "theirs").ok());
  EXPECT_TRUE(Rename("d", "e").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(List("e").size(), 1u);
    EXPECT_EQ(Contents("e/file"), "data");
    Restart();
  }
}

TEST_F(LayersBelowTest, TwoDirectoriesTradePlaces) {
  MakeDirs(*this / "lower/d");
  Put("lower/d/file", "d");
  MakeDirs(*this / "lower/e");
  Put("bottom/e/file", "e");
  Start();
  EXPECT_TRUE(Rename("d", "e", RENAME_EXCHANGE).ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("d/file"), "e");
    EXPECT_EQ(Contents("e/file"), "d");
    Restart();
  }
  EXPECT_TRUE(Rename("d", "e", RENAME_EXCHANGE).ok());
  Restart();
  EXPECT_EQ(Contents("d/file"), "d");
  EXPECT_EQ(Contents("e/file"), "e");
}

// What the kernel writes for a rename within one directory.
TEST_F(LayersBelowTest, ARedirectMayBeANameInTheSameParent) {
  MakeDirs(*this / "upper/p/new");
  SetRedirect("upper/p/new", "old");
  MakeDirs(*this / "lower/p/old");
  Put("lower/p/old/file", "data");
  Put("bottom/p/old/deep", "deep");
  Start();
  EXPECT_EQ(Contents("p/new/file"), "data");
  EXPECT_EQ(Contents("p/new/deep"), "deep");
  EXPECT_TRUE(Rename("p/new", "moved").ok());
  Restart();
  EXPECT_EQ(RedirectOf("upper/moved"), "/p/old");
  EXPECT_EQ(Contents("moved/file"), "data");
}

TEST_F(LayersBelowTest, LowerLayersMayBeRedirectedToo) {
  MakeDirs(*this / "upper/z");
  SetRedirect("upper/z", "/y/sub");
  MakeDirs(*this / "lower/y");
  SetRedirect("lower/y", "x");
  MakeDirs(*this / "lower/x/sub");
  Put("lower/x/sub/not", "this one");
  MakeDirs(*this / "bottom/x/sub");
  Put("bottom/x/sub/file", "data");
  Start();
  EXPECT_EQ(List("z").size(), 1u);
  EXPECT_EQ(Contents("z/file"), "data");
  EXPECT_EQ(Contents("y/sub/file"), "data");
}

TEST_F(LayersBelowTest, AWhiteoutOrAFileOnTheWayEndsIt) {
  MakeDirs(*this / "upper/z");
  SetRedirect("upper/z", "/a/b");
  MakeDirs(*this / "lower/a");
  PutWhiteout("lower/a/b");
  MakeDirs(*this / "bottom/a/b");
  Put("bottom/a/b/file", "data");
  MakeDirs(*this / "upper/w");
  SetRedirect("upper/w", "/f/b");
  Put("lower/f", "file");
  MakeDirs(*this / "bottom/f/b");
  Put("bottom/f/b/file", "data");
  Start();
  EXPECT_TRUE(List("z").empty());
  EXPECT_TRUE(List("w").empty());
}

TEST_F(LayersBelowTest, OpaqueOutweighsARedirect) {
  MakeDirs(*this / "upper/z");
  SetRedirect("upper/z", "/d");
  ASSERT_EQ(setxattr((*this / "upper/z").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  Put("lower/d/file", "data");
  Start();
  EXPECT_TRUE(List("z").empty());
}

TEST_F(LayersBelowTest, RedirectsAreNotFollowedWhereTheyMustNotBe) {
  options_.follow_redirects = false;
  MakeDirs(*this / "upper/z");
  SetRedirect("upper/z", "/d");
  Put("lower/d/file", "data");
  Put("lower/z/by name", "name");
  Start();
  EXPECT_EQ(Contents("z/by name"), "name");
  EXPECT_EQ(List("z").size(), 1u);
}

TEST_F(LayersBelowTest, ARedirectThatMakesNoSenseIsEioForItsDirectoryAlone) {
  MakeDirs(*this / "upper/z");
  SetRedirect("upper/z", "/../../etc");
  Put("lower/z/file", "data");
  Put("lower/fine", "fine");
  Start();
  EXPECT_EQ(LookupError("z"), EIO);
  EXPECT_EQ(Contents("fine"), "fine");
  EXPECT_EQ(List("").size(), 2u);
}

}  // namespace
}  // namespace acetate::fusefs
