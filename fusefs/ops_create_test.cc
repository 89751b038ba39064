#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

// owner rwx, group rwx, others r-x
constexpr unsigned char kAcl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                                  7, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255};

using Strings = std::vector<std::string>;

class CreateTest : public UnionFsTest {
 protected:
  Errno MkNod(const std::string& parent, const std::string& name, mode_t mode = S_IFREG | 0644) {
    return fs_->MkNod(Node(parent), name, mode, 0, Caller{geteuid(), getegid()}).error();
  }
  Errno MkDir(const std::string& parent, const std::string& name, mode_t mode = 0755) {
    return fs_->MkDir(Node(parent), name, mode, Caller{geteuid(), getegid()}).error();
  }
};

TEST_F(CreateTest, NewNamesGoToTheUpper) {
  Start();
  EXPECT_TRUE(MkNod("", "file").ok());
  EXPECT_TRUE(MkNod("", "fifo", S_IFIFO | 0600).ok());
  EXPECT_TRUE(MkDir("", "dir").ok());
  EXPECT_TRUE(fs_->SymLink("target", kRootId, "link", Caller{geteuid(), getegid()}).ok());
  EXPECT_EQ(Upper(), (Strings{"dir/", "fifo", "file", "link -> target"}));
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CreateTest, AWhiteoutIsNotMadeByHand) {
  Start();
  EXPECT_EQ(MkNod("", "w", S_IFCHR | 0600), EPERM);
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(CreateTest, TheUmaskCountsUnlessADefaultAclTakesItsPlace) {
  MakeDirs(*this / "lower/plain/gone");
  MakeDirs(*this / "lower/acl/gone");
  MakeDirs(*this / "upper/plain");
  MakeDirs(*this / "upper/acl");
  for (const char* dir : {"plain", "acl"}) {
    PutWhiteout(std::string("upper/") + dir + "/gone");
    PutWhiteout(std::string("upper/") + dir + "/gone.file");
  }
  if (setxattr((*this / "upper/acl").c_str(), "system.posix_acl_default", kAcl, sizeof(kAcl), 0) != 0) {
    GTEST_SKIP() << "the filesystem of the test directory has no ACLs";
  }
  Start();
  const Caller careful{geteuid(), getegid(), 077};
  for (const char* name : {"new", "gone"}) {
    EXPECT_TRUE(fs_->MkDir(Node("plain"), name, 0777, careful).ok());
    EXPECT_TRUE(fs_->MkDir(Node("acl"), name, 0777, careful).ok());
    EXPECT_EQ(Attr(std::string("plain/") + name).st_mode & 0777, 0700u) << name;
    EXPECT_EQ(Attr(std::string("acl/") + name).st_mode & 0777, 0775u) << name;
    EXPECT_EQ(fs_->GetXattr(Node(std::string("acl/") + name), "system.posix_acl_default", 64)->size(), sizeof(kAcl));
  }
  for (const char* name : {"new.file", "gone.file"}) {
    EXPECT_TRUE(fs_->MkNod(Node("plain"), name, S_IFREG | 0666, 0, careful).ok());
    EXPECT_TRUE(fs_->MkNod(Node("acl"), name, S_IFREG | 0666, 0, careful).ok());
    EXPECT_EQ(Attr(std::string("plain/") + name).st_mode & 0777, 0600u) << name;
    EXPECT_EQ(Attr(std::string("acl/") + name).st_mode & 0777, 0664u) << name;
  }
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CreateTest, ADefaultAclCountsFromWhenItIsSet) {
  MakeDirs(*this / "upper/dir");
  Start();
  const Caller careful{geteuid(), getegid(), 077};
  const absl::string_view acl(reinterpret_cast<const char*>(kAcl), sizeof(kAcl));
  EXPECT_TRUE(fs_->MkNod(Node("dir"), "before", S_IFREG | 0666, 0, careful).ok());
  const Errno set = fs_->SetXattr(Node("dir"), "system.posix_acl_default", acl, 0);
  if (set == EOPNOTSUPP) GTEST_SKIP() << "the filesystem of the test directory has no ACLs";
  ASSERT_TRUE(set.ok());
  EXPECT_TRUE(fs_->MkNod(Node("dir"), "with", S_IFREG | 0666, 0, careful).ok());
  EXPECT_TRUE(fs_->RemoveXattr(Node("dir"), "system.posix_acl_default").ok());
  EXPECT_TRUE(fs_->MkNod(Node("dir"), "after", S_IFREG | 0666, 0, careful).ok());
  EXPECT_EQ(Attr("dir/before").st_mode & 0777, 0600u);
  EXPECT_EQ(Attr("dir/with").st_mode & 0777, 0664u);
  EXPECT_EQ(Attr("dir/after").st_mode & 0777, 0600u);
}

TEST_F(CreateTest, NameInUseIsRefusedWhereverItIs) {
  WriteFile(*this / "lower/a", "a");
  Start();
  EXPECT_EQ(MkNod("", "a"), EEXIST);
  EXPECT_EQ(MkDir("", "a"), EEXIST);
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(CreateTest, ParentIsCopiedUpWithoutItsChildren) {
  MakeDirs(*this / "lower/d/e");
  WriteFile(*this / "lower/d/old", "old");
  ASSERT_EQ(chmod((*this / "lower/d").c_str(), 01777), 0);
  Start();
  EXPECT_TRUE(MkNod("d/e", "new").ok());
  EXPECT_EQ(Upper(), (Strings{"d/", "d/e/", "d/e/new"}));
  EXPECT_EQ(Attr("d").st_mode & 07777, 01777u);
  EXPECT_EQ(List("d"), (std::map<std::string, unsigned char>{{"e", DT_DIR}, {"old", DT_REG}}));
}

TEST_F(CreateTest, CopyUpOfTheParentKeepsItsTimes) {
  MakeDirs(*this / "lower/d/e");
  const struct timespec old[2] = {{1000, 0}, {2000, 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, (*this / "lower/d").c_str(), old, 0), 0);
  Start();
  EXPECT_TRUE(MkNod("d/e", "new").ok());
  EXPECT_EQ(Attr("d").st_mtim.tv_sec, 2000);
  EXPECT_EQ(Attr("d").st_mtim.tv_nsec, 5);
}

TEST_F(CreateTest, FileReplacesWhiteout) {
  WriteFile(*this / "lower/a", "lower");
  PutWhiteout("upper/a");
  Start();
  EXPECT_EQ(LookupError("a"), ENOENT);
  EXPECT_TRUE(MkNod("", "a").ok());
  EXPECT_EQ(Upper(), Strings{"a"});
  EXPECT_EQ(Attr("a").st_size, 0);
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CreateTest, DirectoryOverWhiteoutIsOpaque) {
  MakeDirs(*this / "lower/d");
  WriteFile(*this / "lower/d/old", "old");
  PutWhiteout("upper/d");
  Start();
  EXPECT_TRUE(MkDir("", "d").ok());
  EXPECT_TRUE(IsOpaqueInUpper("d"));
  EXPECT_TRUE(WorkIsClean());
  EXPECT_TRUE(List("d").empty());
  Restart();
  EXPECT_TRUE(List("d").empty());
}

TEST_F(CreateTest, FailedCreationOverWhiteoutLeavesIt) {
  WriteFile(*this / "lower/a", "lower");
  PutWhiteout("upper/a");
  Start();
  upper_branch_->failing = "rename";
  upper_branch_->error = ENOSPC;
  EXPECT_EQ(MkNod("", "a"), ENOSPC);
  EXPECT_EQ(Upper(), Strings{"a (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CreateTest, FileThatForbidsWritingIsWrittenByWhoMadeIt) {
  Start();
  EXPECT_TRUE(MkNod("", "readonly", S_IFREG | 0444).ok());
  // By the fd that made it: as root its mode would not forbid another, so that one is kept from being opened.
  const NodeId node = Node("readonly");
  ASSERT_EQ(rename((*this / "upper/readonly").c_str(), (*this / "upper/away").c_str()), 0);
  ErrnoOr<Written> written = fs_->Write(node, "written", 7, 0);
  ASSERT_TRUE(written.ok()) << written.error().value();
  EXPECT_EQ(ReadFile(*this / "upper/away"), "written");
}

TEST_F(CreateTest, LinkOfALowerFileCopiesItUpOnce) {
  WriteFile(*this / "lower/a", "data");
  Start();
  ErrnoOr<Entry> entry = fs_->Link(Node("a"), kRootId, "b");
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->attr.st_nlink, 2u);
  EXPECT_EQ(Node("a"), Node("b"));
  WriteTo("b", "DATA");
  EXPECT_EQ(Contents("a"), "DATA");
  EXPECT_EQ(ReadFile(*this / "lower/a"), "data");
}

TEST_F(CreateTest, TmpFileGetsAName) {
  Start();
  ErrnoOr<Entry> entry = fs_->TmpFile(kRootId, 0640, Caller{geteuid(), getegid()});
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->attr.st_nlink, 0u);
  EXPECT_TRUE(fs_->Write(entry->node, "data", 4, 0).ok());
  EXPECT_EQ(Upper(), Strings{});
  ErrnoOr<Entry> linked = fs_->Link(entry->node, kRootId, "a");
  ASSERT_TRUE(linked.ok()) << linked.error().value();
  EXPECT_EQ(linked->node, entry->node);
  EXPECT_EQ(linked->attr.st_nlink, 1u);
  EXPECT_EQ(Contents("a"), "data");
  EXPECT_EQ(Upper(), Strings{"a"});
}

TEST_F(CreateTest, LinksAreOneFileAfterRestart) {
  WriteFile(*this / "upper/a", "data");
  MakeDirs(*this / "upper/d");
  ASSERT_EQ(link((*this / "upper/a").c_str(), (*this / "upper/d/b").c_str()), 0);
  Start();
  EXPECT_EQ(Node("a"), Node("d/b"));
  EXPECT_EQ(Attr("a").st_ino, Attr("d/b").st_ino);
}

TEST_F(CreateTest, NameLimits) {
  Start();
  EXPECT_TRUE(MkNod("", std::string(255, 'n')).ok());
  EXPECT_EQ(MkNod("", std::string(256, 'n')), ENAMETOOLONG);
  EXPECT_EQ(LookupError(std::string(256, 'n')), ENAMETOOLONG);
}

TEST_F(CreateTest, ReadOnlyUnionRefuses) {
  Start(/*writable=*/false);
  EXPECT_EQ(MkNod("", "a"), EROFS);
  EXPECT_EQ(MkDir("", "d"), EROFS);
}

TEST_F(CreateTest, SetgidDirectoryGivesItsGroupOverAWhiteoutToo) {
  if (geteuid() != 0) GTEST_SKIP() << "giving a file to another group needs root";
  MakeDirs(*this / "upper/d");
  ASSERT_EQ(chown((*this / "upper/d").c_str(), 0, 1234), 0);
  ASSERT_EQ(chmod((*this / "upper/d").c_str(), 02777), 0);
  PutWhiteout("upper/d/file");
  PutWhiteout("upper/d/dir");
  Start();
  EXPECT_TRUE(MkNod("d", "file").ok());
  EXPECT_TRUE(MkDir("d", "dir").ok());
  EXPECT_EQ(Attr("d/file").st_gid, 1234u);
  EXPECT_EQ(Attr("d/dir").st_gid, 1234u);
  EXPECT_EQ(Attr("d/dir").st_mode & 07777, 02755u);
}

TEST_F(CreateTest, ObjectsBelongToTheirCaller) {
  if (geteuid() != 0) GTEST_SKIP() << "acting for another user needs root";
  Start();
  ASSERT_TRUE(fs_->MkNod(kRootId, "file", S_IFREG | 0644, 0, Caller{1234, 5678}).ok());
  EXPECT_EQ(Attr("file").st_uid, 1234u);
  EXPECT_EQ(Attr("file").st_gid, 5678u);
}

}  // namespace
}  // namespace acetate::fusefs
