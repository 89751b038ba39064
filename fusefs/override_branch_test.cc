#include "fusefs/override_branch.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/temp_dir.h"
#include "fusefs/identity.h"

namespace acetate::fusefs {
namespace {

constexpr uid_t kNone = static_cast<uid_t>(-1);

// The layer is on /tmp, in files of whoever runs the test; nothing here needs root.
class OverrideBranchTest : public testing::Test {
 protected:
  OverrideBranchTest() {
    umask(0);
    identity_.KeepOwn();
  }

  std::unique_ptr<OverrideBranch> Open() const {
    UniqueFd root(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return std::make_unique<OverrideBranch>(std::make_unique<DirectoryBranch>(BranchSpec(), 0, std::move(root)));
  }
  std::unique_ptr<OverrideBranch> Record() const {
    auto branch = Open();
    EXPECT_TRUE(branch->StartRecording(OwnerRecords::kUser).ok());
    return branch;
  }

  std::string RecordOf(const std::string& name, const char* key = kContainersRecord) const {
    char value[128];
    const ssize_t size = lgetxattr((temp_ / name).c_str(), key, value, sizeof(value));
    return size < 0 ? "" : std::string(value, size);
  }
  void PutRecord(const std::string& name, const std::string& value, const char* key = kContainersRecord) const {
    ASSERT_EQ(lsetxattr((temp_ / name).c_str(), key, value.data(), value.size(), 0), 0) << name;
  }
  struct stat Stored(const std::string& name) const {
    struct stat st = {};
    EXPECT_EQ(lstat((temp_ / name).c_str(), &st), 0) << name;
    return st;
  }
  static struct stat Shown(const Branch& branch, const std::string& name) {
    ErrnoOr<struct stat> st = branch.Stat(branch.root_fd(), name.c_str());
    EXPECT_TRUE(st.ok()) << name << ": errno " << st.error().value();
    return st.ok() ? *st : (struct stat){};
  }
  // "33:44 100644"
  static std::string Brief(const struct stat& st) {
    return absl::StrFormat("%u:%u %o", st.st_uid, st.st_gid, st.st_mode);
  }

  TempDir temp_;
  Identity identity_ = Identity::OfProcess();
};

TEST_F(OverrideBranchTest, TheRootIsMarked) {
  ASSERT_EQ(chmod(temp_.path().c_str(), 0755), 0);
  auto branch = Record();
  EXPECT_EQ(RecordOf(""), absl::StrCat(geteuid(), ":", getegid(), ":0755:dir"));
  EXPECT_EQ(Shown(*branch, "").st_mode, S_IFDIR | 0755u);
}

TEST_F(OverrideBranchTest, WhatACallerMakesIsItsOwnAndOnDiskTheDaemons) {
  auto branch = Record();
  const int root = branch->root_fd();
  CallerScope scope(identity_, {33, 44, 0});
  ErrnoOr<UniqueFd> fd = branch->Open(root, "file", O_CREAT | O_EXCL | O_RDWR, 04751);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(write(fd->get(), "text", 4), 4);
  ASSERT_TRUE(branch->MkDir(root, "dir", 01777).ok());
  ASSERT_TRUE(branch->MkNod(root, "regular", S_IFREG | 0600, 0).ok());

  EXPECT_EQ(RecordOf("file"), "33:44:4751:file");
  EXPECT_EQ(RecordOf("dir"), "33:44:1777:dir");
  EXPECT_EQ(Brief(Shown(*branch, "file")), "33:44 104751");
  EXPECT_EQ(Brief(Shown(*branch, "dir")), "33:44 41777");
  EXPECT_EQ(Brief(Shown(*branch, "regular")), "33:44 100600");
  EXPECT_EQ(Shown(*branch, "file").st_size, 4);
  EXPECT_EQ(Stored("file").st_uid, geteuid());
  EXPECT_EQ(Stored("file").st_mode, S_IFREG | 0751u);
  EXPECT_EQ(Stored("dir").st_mode, S_IFDIR | 0777u);
  EXPECT_EQ(branch->Open(root, "file", O_CREAT | O_EXCL | O_RDWR, 0600).error(), EEXIST);
  EXPECT_EQ(branch->MkDir(root, "file", 0700), EEXIST);
}

TEST_F(OverrideBranchTest, ANamelessFileHasARecord) {
  auto branch = Record();
  CallerScope scope(identity_, {33, 44, 0});
  ErrnoOr<UniqueFd> fd = branch->Open(branch->root_fd(), ".", O_TMPFILE | O_RDWR, 0640);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(Brief(*branch->Stat(fd->get(), "")), "33:44 100640");
}

TEST_F(OverrideBranchTest, WhatCannotBeMadeIsRecorded) {
  auto branch = Record();
  const int root = branch->root_fd();
  const struct {
    const char* name;
    mode_t mode;
    dev_t device;
    const char* record;
    unsigned char type;
  } nodes[] = {
      {"null", S_IFCHR | 0666, makedev(1, 3), "0:6:0666:char-1-3", DT_CHR},
      {"disk", S_IFBLK | 0660, makedev(8, 17), "0:6:0660:block-8-17", DT_BLK},
      {"fifo", S_IFIFO | 0600, 0, "0:6:0600:pipe", DT_FIFO},
      {"socket", S_IFSOCK | 0755, 0, "0:6:0755:socket", DT_SOCK},
  };
  CallerScope scope(identity_, {0, 6, 0});
  for (const auto& node : nodes) {
    ASSERT_TRUE(branch->MkNod(root, node.name, node.mode, node.device).ok()) << node.name;
    EXPECT_EQ(RecordOf(node.name), node.record);
    EXPECT_EQ(Stored(node.name).st_mode, S_IFREG | (node.mode & 0777)) << node.name;
    EXPECT_EQ(Shown(*branch, node.name).st_mode, node.mode) << node.name;
    EXPECT_EQ(Shown(*branch, node.name).st_rdev, node.device) << node.name;
  }
  // It stays what it is when something else is changed.
  ASSERT_TRUE(branch->Chown(root, "null", 5, kNone).ok());
  ASSERT_TRUE(branch->Chmod(root, "null", 0600).ok());
  EXPECT_EQ(RecordOf("null"), "5:6:0600:char-1-3");

  std::map<std::string, unsigned char> types;
  const auto entries = branch->ReadDir(root);
  for (const RawEntry& entry : *entries) types[entry.name] = entry.type;
  for (const auto& node : nodes) EXPECT_EQ(types[node.name], node.type) << node.name;
}

TEST_F(OverrideBranchTest, AWhiteoutIsARealDevice) {
  auto branch = Record();
  ASSERT_TRUE(branch->MkNod(branch->root_fd(), "gone", S_IFCHR, makedev(0, 0)).ok());
  EXPECT_EQ(Stored("gone").st_mode & S_IFMT, mode_t{S_IFCHR});
  EXPECT_EQ(Shown(*branch, "gone").st_rdev, makedev(0, 0));
}

TEST_F(OverrideBranchTest, ASetgidDirectoryGivesItsGroup) {
  auto branch = Record();
  ASSERT_TRUE(branch->MkDir(branch->root_fd(), "dir", 0755).ok());
  ASSERT_TRUE(branch->Chown(branch->root_fd(), "dir", 1, 55).ok());
  ASSERT_TRUE(branch->Chmod(branch->root_fd(), "dir", 02775).ok());
  ErrnoOr<UniqueFd> dir = branch->Open(branch->root_fd(), "dir", O_PATH | O_DIRECTORY, 0);
  ASSERT_TRUE(dir.ok());
  CallerScope scope(identity_, {33, 44, 0});
  ASSERT_TRUE(branch->MkDir(dir->get(), "sub", 0700).ok());
  ASSERT_TRUE(branch->MkNod(dir->get(), "file", S_IFREG | 0644, 0).ok());
  EXPECT_EQ(RecordOf("dir/sub"), "33:55:2700:dir");
  EXPECT_EQ(RecordOf("dir/file"), "33:55:0644:file");
}

TEST_F(OverrideBranchTest, ChmodAndChownAreRecorded) {
  auto branch = Record();
  const int root = branch->root_fd();
  ASSERT_TRUE(branch->MkNod(root, "file", S_IFREG | 0644, 0).ok());
  ASSERT_TRUE(branch->Chown(root, "file", 33, kNone).ok());
  ASSERT_TRUE(branch->Chown(root, "file", kNone, 44).ok());
  ASSERT_TRUE(branch->Chmod(root, "file", 06755).ok());
  EXPECT_EQ(RecordOf("file"), "33:44:6755:file");
  EXPECT_EQ(Stored("file").st_mode, S_IFREG | 0755u);
  EXPECT_EQ(Stored("file").st_uid, geteuid());
  // chown takes set-id bits away; those of a directory stay, and so does setgid without execution by the group.
  ASSERT_TRUE(branch->Chown(root, "file", 34, kNone).ok());
  EXPECT_EQ(RecordOf("file"), "34:44:0755:file");
  ASSERT_TRUE(branch->Chmod(root, "file", 02745).ok());
  ASSERT_TRUE(branch->Chown(root, "file", 35, kNone).ok());
  EXPECT_EQ(RecordOf("file"), "35:44:2745:file");
  ASSERT_TRUE(branch->MkDir(root, "dir", 06755).ok());
  ASSERT_TRUE(branch->Chown(root, "dir", 33, 44).ok());
  EXPECT_EQ(RecordOf("dir"), "33:44:6755:dir");
  // By an fd as well.
  ErrnoOr<UniqueFd> fd = branch->Open(root, "file", O_PATH, 0);
  ASSERT_TRUE(branch->Chmod(fd->get(), "", 0600).ok());
  EXPECT_EQ(RecordOf("file"), "35:44:0600:file");
}

TEST_F(OverrideBranchTest, AWriteBySomebodyElseTakesSuidAway) {
  auto branch = Record();
  ErrnoOr<UniqueFd> fd = branch->Open(branch->root_fd(), "file", O_CREAT | O_EXCL | O_RDWR, 06777);
  ASSERT_TRUE(fd.ok());
  EXPECT_TRUE(branch->KillSuid(fd->get())->cleared);
  EXPECT_EQ(Shown(*branch, "file").st_mode, S_IFREG | 0777u);
  EXPECT_FALSE(branch->KillSuid(fd->get())->cleared);
}

TEST_F(OverrideBranchTest, SymlinksHaveNoRecord) {
  auto branch = Record();
  CallerScope scope(identity_, {33, 44, 0});
  ASSERT_TRUE(branch->SymLink("target", branch->root_fd(), "link").ok());
  EXPECT_EQ(RecordOf("link"), "");
  EXPECT_EQ(Shown(*branch, "link").st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(Shown(*branch, "link").st_uid, geteuid() == 0 ? 33u : geteuid());
  EXPECT_TRUE(branch->Chown(branch->root_fd(), "link", 34, 45).ok());
}

TEST_F(OverrideBranchTest, ObjectsWithoutARecordAreWhatTheyAre) {
  auto branch = Record();
  WriteFile(temp_ / "file", "x", 0640);
  EXPECT_EQ(Brief(Shown(*branch, "file")), Brief(Stored("file")));
  // The first change records all of it.
  ASSERT_TRUE(branch->Chown(branch->root_fd(), "file", 33, kNone).ok());
  EXPECT_EQ(RecordOf("file"), absl::StrCat("33:", getegid(), ":0640:file"));
}

TEST_F(OverrideBranchTest, ALayerWithoutRecordsStaysWithout) {
  WriteFile(temp_ / "file", "x", 0640);
  PutRecord("file", "33:44:0600");
  auto branch = Open();
  EXPECT_EQ(Brief(Shown(*branch, "file")), Brief(Stored("file")));
  ASSERT_TRUE(branch->Chmod(branch->root_fd(), "file", 04755).ok());
  EXPECT_EQ(Stored("file").st_mode, S_IFREG | 04755u);
  EXPECT_EQ(*branch->ListXattr(branch->root_fd(), "file"), "");
}

TEST_F(OverrideBranchTest, TheRecordsOfFuseOverlayfsAreReadAndContinued) {
  WriteFile(temp_ / "file", "x");
  PutRecord("", "0:0:40755", kFuseOverlayfsRecord);
  PutRecord("file", "33:44:104755", kFuseOverlayfsRecord);
  auto branch = Record();
  EXPECT_EQ(Brief(Shown(*branch, "file")), "33:44 104755");
  ASSERT_TRUE(branch->Chown(branch->root_fd(), "file", 34, kNone).ok());
  EXPECT_EQ(RecordOf("file", kFuseOverlayfsRecord), "34:44:0755:file");
  EXPECT_EQ(RecordOf("file"), "");
}

TEST_F(OverrideBranchTest, RecordsAreInvisibleAndNobodysToWrite) {
  auto branch = Record();
  const int root = branch->root_fd();
  ASSERT_TRUE(branch->MkNod(root, "file", S_IFREG | 0644, 0).ok());
  ASSERT_TRUE(branch->SetXattr(root, "file", "user.note", "n", 1, 0).ok());
  EXPECT_EQ(*branch->ListXattr(root, "file"), std::string("user.note\0", 10));
  for (const char* key : {kContainersRecord, kFuseOverlayfsRecord, kPrivilegedRecord}) {
    char value[64];
    EXPECT_EQ(branch->GetXattr(root, "file", key, value, sizeof(value)).error(), ENODATA) << key;
    EXPECT_EQ(branch->SetXattr(root, "file", key, "0:0:4755", 8, 0), EPERM) << key;
    EXPECT_EQ(branch->RemoveXattr(root, "file", key), ENODATA) << key;
  }
}

TEST_F(OverrideBranchTest, ARecordThatMakesNoSenseIsAnErrorOfThatObjectAlone) {
  WriteFile(temp_ / "bad", "x");
  WriteFile(temp_ / "long", "x");
  WriteFile(temp_ / "good", "x");
  PutRecord("bad", "root:root:rwxr-xr-x");
  PutRecord("long", std::string(3000, '7'));
  PutRecord("good", "1:2:644");
  auto branch = Record();
  EXPECT_EQ(branch->Stat(branch->root_fd(), "bad").error(), EIO);
  EXPECT_EQ(branch->Stat(branch->root_fd(), "long").error(), EIO);
  EXPECT_EQ(branch->Chmod(branch->root_fd(), "bad", 0600), EIO);
  EXPECT_EQ(Brief(Shown(*branch, "good")), "1:2 100644");
  EXPECT_EQ(branch->ReadDir(branch->root_fd())->size(), 3u);
}

TEST_F(OverrideBranchTest, AnAclSetsTheRecordedPermissions) {
  auto branch = Record();
  const int root = branch->root_fd();
  ASSERT_TRUE(branch->MkNod(root, "file", S_IFREG | 04600, 0).ok());
  struct {
    posix_acl_xattr_header header;
    posix_acl_xattr_entry entries[5];
  } acl = {{POSIX_ACL_XATTR_VERSION},
           {{ACL_USER_OBJ, 6, kNone},
            {ACL_USER, 6, 12},
            {ACL_GROUP_OBJ, 4, kNone},
            {ACL_MASK, 6, kNone},
            {ACL_OTHER, 4, kNone}}};
  const Errno set = branch->SetXattr(root, "file", "system.posix_acl_access", &acl, sizeof(acl), 0);
  if (set == EOPNOTSUPP) GTEST_SKIP() << "no ACLs on the filesystem of " << temp_.path();
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(Shown(*branch, "file").st_mode, S_IFREG | 04664u);

  // And a default ACL those of what is made below it.
  ASSERT_TRUE(branch->MkDir(root, "dir", 0777).ok());
  ASSERT_TRUE(branch->SetXattr(root, "dir", "system.posix_acl_default", &acl, sizeof(acl), 0).ok());
  ErrnoOr<UniqueFd> dir = branch->Open(root, "dir", O_PATH | O_DIRECTORY, 0);
  ASSERT_TRUE(branch->MkNod(dir->get(), "file", S_IFREG | 0666, 0).ok());
  ASSERT_TRUE(branch->MkDir(dir->get(), "sub", 0777).ok());
  EXPECT_EQ(Shown(*branch, "dir/file").st_mode, S_IFREG | 0664u);
  EXPECT_EQ(Shown(*branch, "dir/sub").st_mode, S_IFDIR | 0664u);
}

// A filesystem that has no nameless files, or no room for a record.
class OtherFilesystem : public DirectoryBranch {
 public:
  using DirectoryBranch::DirectoryBranch;
  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override {
    if ((flags & O_TMPFILE) == O_TMPFILE) return Errno(EOPNOTSUPP);
    return DirectoryBranch::Open(dirfd, name, flags, mode);
  }
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override {
    if (full) return Errno(ENOSPC);
    return DirectoryBranch::SetXattr(dirfd, name, key, value, size, flags);
  }
  bool full = false;
};

TEST_F(OverrideBranchTest, WithoutNamelessFilesOneIsMadeInPlace) {
  UniqueFd root(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  auto inner = std::make_unique<OtherFilesystem>(BranchSpec(), 0, std::move(root));
  OtherFilesystem* filesystem = inner.get();
  OverrideBranch branch(std::move(inner));
  ASSERT_TRUE(branch.StartRecording(OwnerRecords::kUser).ok());
  CallerScope scope(identity_, {33, 44, 0});
  EXPECT_TRUE(branch.Open(branch.root_fd(), "file", O_CREAT | O_EXCL | O_RDWR, 0644).ok());
  EXPECT_EQ(RecordOf("file"), "33:44:0644:file");
  EXPECT_EQ(branch.Open(branch.root_fd(), "file", O_CREAT | O_EXCL | O_RDWR, 0644).error(), EEXIST);

  filesystem->full = true;
  EXPECT_EQ(branch.Open(branch.root_fd(), "x", O_CREAT | O_EXCL | O_RDWR, 0644).error(), ENOSPC);
  EXPECT_EQ(branch.MkNod(branch.root_fd(), "x", S_IFIFO | 0644, 0), ENOSPC);
  EXPECT_EQ(branch.MkDir(branch.root_fd(), "x", 0755), ENOSPC);
  EXPECT_EQ(access((temp_ / "x").c_str(), F_OK), -1);
}

TEST_F(OverrideBranchTest, ARecordedOwnerIsSetAndAskedForByAnXattrOfItsOwn) {
  auto branch = Record();
  {
    CallerScope scope(identity_, {0, 0, 0});
    ASSERT_TRUE(branch->Open(branch->root_fd(), "file", O_CREAT | O_EXCL | O_RDWR, 04755).ok());
  }
  auto set = [&](const std::string& value) {
    return branch->SetXattr(branch->root_fd(), "file", kOwnerXattr, value.data(), value.size(), 0);
  };
  auto get = [&](size_t room) -> std::string {
    char value[64];
    const ErrnoOr<size_t> size = branch->GetXattr(branch->root_fd(), "file", kOwnerXattr, value, room);
    return size.ok() ? std::string(value, *size) : absl::StrCat("errno ", size.error().value());
  };
  EXPECT_TRUE(set("100:65534").ok());
  // As by chown, set-id bits go.
  EXPECT_EQ(RecordOf("file"), "100:65534:0755:file");
  EXPECT_EQ(get(64), "100:65534");
  EXPECT_EQ(get(3), absl::StrCat("errno ", ERANGE));
  EXPECT_TRUE(set("-1:7").ok());
  EXPECT_EQ(get(64), "100:7");
  for (const char* bad : {"", "1", "1:2:3", "a:b", "1:4294967296"}) EXPECT_EQ(set(bad), EINVAL) << bad;
  EXPECT_EQ(branch->RemoveXattr(branch->root_fd(), "file", kOwnerXattr), EPERM);
  const ErrnoOr<std::string> list = branch->ListXattr(branch->root_fd(), "file");
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(*list, "");
  // Nothing of that name lies in the layer.
  EXPECT_EQ(RecordOf("file", kOwnerXattr), "");
}

TEST_F(OverrideBranchTest, PrivilegedRecordsAreForEveryType) {
  auto branch = Open();
  const Errno started = branch->StartRecording(OwnerRecords::kPrivileged);
  if (started == EPERM) GTEST_SKIP() << "attributes of security. need root";
  ASSERT_TRUE(started.ok());
  CallerScope scope(identity_, {33, 44, 0});
  ASSERT_TRUE(branch->SymLink("target", branch->root_fd(), "link").ok());
  ASSERT_TRUE(branch->MkNod(branch->root_fd(), "null", S_IFCHR | 0666, makedev(1, 3)).ok());
  EXPECT_EQ(RecordOf("link", kPrivilegedRecord), "33:44:0777:symlink");
  EXPECT_EQ(RecordOf("null", kPrivilegedRecord), "33:44:0666:char-1-3");
  EXPECT_EQ(Brief(Shown(*branch, "link")), "33:44 120777");
  EXPECT_EQ(Stored("link").st_uid, geteuid());
}

}  // namespace
}  // namespace acetate::fusefs
