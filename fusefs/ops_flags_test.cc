#include "fusefs/file_flags.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

constexpr unsigned kImmutable = FS_IMMUTABLE_FL;
constexpr unsigned kAppend = FS_APPEND_FL;

class OpsFlagsTest : public UnionFsTest {
 protected:
  void SetUp() override {
    Put("lower/file", "lower");
    Put("lower/dir/child", "child");
    Start();
    if (fs_->GetFlags(Node("file")).error() == ENOTTY) GTEST_SKIP() << "the layers' filesystem has no flags";
  }
  Errno Protect(const std::string& path, unsigned flags) {
    ErrnoOr<unsigned> old = fs_->GetFlags(Node(path));
    return old.ok() ? fs_->SetFlags(Node(path), (*old & ~kProtectingFlags) | flags) : old.error();
  }
};

TEST_F(OpsFlagsTest, AnImmutableFileCannotBeChangedAndNothingIsLeftOfTheAttempt) {
  ASSERT_EQ(Protect("file", kImmutable), 0);
  EXPECT_EQ(*fs_->GetFlags(Node("file")) & kProtectingFlags, kImmutable);
  const std::vector<std::string> before = Upper();
  EXPECT_EQ(fs_->Write(Node("file"), "x", 1, 100).error(), EPERM);
  EXPECT_EQ(SetMode("file", 0600).error(), EPERM);
  EXPECT_EQ(SetSize("file", 0).error(), EPERM);
  EXPECT_EQ(fs_->SetXattr(Node("file"), "user.a", "1", 0), EPERM);
  EXPECT_EQ(fs_->Unlink(kRootId, "file"), EPERM);
  EXPECT_EQ(fs_->Rename(kRootId, "file", kRootId, "other", 0), EPERM);
  EXPECT_EQ(fs_->Link(Node("file"), kRootId, "other").error(), EPERM);
  EXPECT_EQ(Upper(), before);
  EXPECT_TRUE(WorkIsClean());
  ASSERT_EQ(Protect("file", 0), 0);
  EXPECT_EQ(fs_->Unlink(kRootId, "file"), 0);
}

TEST_F(OpsFlagsTest, AnAppendOnlyFileGrowsOnly) {
  ASSERT_EQ(Protect("file", kAppend), 0);
  EXPECT_EQ(fs_->Write(Node("file"), "x", 1, 4).error(), EPERM);
  EXPECT_TRUE(fs_->Write(Node("file"), "more", 4, 5).ok());
  EXPECT_EQ(Contents("file"), "lowermore");
  EXPECT_EQ(fs_->Write(Node("file"), "x", 1, 5).error(), EPERM);
  EXPECT_EQ(SetSize("file", 0).error(), EPERM);
}

TEST_F(OpsFlagsTest, ProtectionOutlivesTheUnion) {
  ASSERT_EQ(Protect("file", kImmutable | kAppend), 0);
  ASSERT_EQ(Protect("dir", kAppend), 0);
  Restart();
  EXPECT_EQ(*fs_->GetFlags(Node("file")) & kProtectingFlags, kImmutable | kAppend);
  EXPECT_EQ(fs_->Write(Node("file"), "x", 1, 0).error(), EPERM);
  const Caller caller = {};
  EXPECT_EQ(fs_->Unlink(Node("dir"), "child"), EPERM);
  EXPECT_TRUE(fs_->MkNod(Node("dir"), "new", S_IFREG | 0644, 0, caller).ok());
  ASSERT_EQ(Protect("dir", kImmutable), 0);
  EXPECT_EQ(fs_->MkNod(Node("dir"), "another", S_IFREG | 0644, 0, caller).error(), EPERM);
  EXPECT_EQ(fs_->TmpFile(Node("dir"), 0644, caller).error(), EPERM);
  EXPECT_EQ(fs_->Rename(kRootId, "file", Node("dir"), "file", 0), EPERM);
  ASSERT_EQ(Protect("dir", 0), 0);
  EXPECT_EQ(fs_->Unlink(Node("dir"), "child"), 0);
}

TEST_F(OpsFlagsTest, BothCallsTellTheSameProtection) {
  ErrnoOr<fsxattr> attributes = fs_->GetFsXattr(Node("file"));
  ASSERT_TRUE(attributes.ok());
  attributes->fsx_xflags |= FS_XFLAG_APPEND;
  ASSERT_EQ(fs_->SetFsXattr(Node("file"), *attributes), 0);
  EXPECT_EQ(*fs_->GetFlags(Node("file")) & kProtectingFlags, kAppend);
  EXPECT_NE(fs_->GetFsXattr(Node("file"))->fsx_xflags & FS_XFLAG_APPEND, 0U);
}

TEST_F(OpsFlagsTest, ProtectionThatCannotBeStoredIsRefused) {
  ASSERT_TRUE(SetMode("file", 0600).ok());  // so that only the mark is missing
  upper_branch_->failing = "setxattr";
  upper_branch_->error = EOPNOTSUPP;
  EXPECT_EQ(Protect("file", kImmutable), EPERM);
  upper_branch_->failing = "";
  EXPECT_TRUE(fs_->Write(Node("file"), "x", 1, 0).ok());
}

}  // namespace
}  // namespace acetate::fusefs
