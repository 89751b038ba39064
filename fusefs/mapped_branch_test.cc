#include "fusefs/mapped_branch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "common/temp_dir.h"
#include "fusefs/identity.h"

namespace acetate::fusefs {
namespace {

constexpr uid_t kNone = static_cast<uid_t>(-1);

class MappedBranchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "gives files away, which needs root";
    // The container of a user 1000 with subordinate ids from 100000.
    ASSERT_TRUE(rules_.uids.Add("0:1000:1:1:100000:65536").ok());
    ASSERT_TRUE(rules_.gids.Add("0:2000:1:1:200000:65536").ok());
    WriteFile(temp_ / "file", "text");
  }

  MappedBranch Make() const {
    UniqueFd root(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return MappedBranch(std::make_unique<DirectoryBranch>(BranchSpec(), 0, std::move(root)), rules_);
  }

  struct stat Stored(const std::string& name) const {
    struct stat st = {};
    EXPECT_EQ(lstat((temp_ / name).c_str(), &st), 0) << name;
    return st;
  }

  TempDir temp_;
  OwnerRules rules_;
};

TEST_F(MappedBranchTest, OwnersAreShownShifted) {
  ASSERT_EQ(chown((temp_ / "file").c_str(), 33, 0), 0);
  const MappedBranch branch = Make();
  ErrnoOr<struct stat> st = branch.Stat(branch.root_fd(), "file");
  ASSERT_TRUE(st.ok());
  EXPECT_EQ(st->st_uid, 100032u);
  EXPECT_EQ(st->st_gid, 2000u);
}

TEST_F(MappedBranchTest, AnOwnerOutsideOfTheRangesIsNobodyAndStaysSo) {
  ASSERT_EQ(chown((temp_ / "file").c_str(), 70000, 70000), 0);
  const MappedBranch branch = Make();
  EXPECT_EQ(branch.Stat(branch.root_fd(), "file")->st_uid, 65534u);
  // As a copy-up does.
  EXPECT_TRUE(branch.Chown(branch.root_fd(), "file", 65534, 65534).ok());
  EXPECT_EQ(Stored("file").st_uid, 65534u);
}

TEST_F(MappedBranchTest, ChownStoresWhatIsBehindTheId) {
  const MappedBranch branch = Make();
  EXPECT_TRUE(branch.Chown(branch.root_fd(), "file", 100006, 200007).ok());
  EXPECT_EQ(Stored("file").st_uid, 7u);
  EXPECT_EQ(Stored("file").st_gid, 8u);
  EXPECT_TRUE(branch.Chown(branch.root_fd(), "file", kNone, 2000).ok());
  EXPECT_EQ(Stored("file").st_uid, 7u);
  EXPECT_EQ(Stored("file").st_gid, 0u);
  EXPECT_EQ(branch.Chown(branch.root_fd(), "file", 5, kNone), EOVERFLOW);
  EXPECT_EQ(Stored("file").st_uid, 7u);
}

TEST_F(MappedBranchTest, OnlyCallersWithAnIdInTheRangesCreate) {
  const MappedBranch branch = Make();
  const int root = branch.root_fd();
  Identity identity = Identity::OfProcess();
  identity.Follow(rules_);
  {
    CallerScope scope(identity, {1000, 200000, 0});
    EXPECT_TRUE(branch.Open(root, "made", O_CREAT | O_EXCL | O_WRONLY, 0644).ok());
    EXPECT_EQ(Stored("made").st_uid, 0u);
    EXPECT_EQ(Stored("made").st_gid, 1u);
  }
  CallerScope scope(identity, {5, 2000, 0});
  EXPECT_EQ(branch.Open(root, "x", O_CREAT | O_EXCL | O_WRONLY, 0644).error(), EOVERFLOW);
  EXPECT_EQ(branch.Open(root, ".", O_TMPFILE | O_RDWR, 0644).error(), EOVERFLOW);
  EXPECT_EQ(branch.MkDir(root, "x", 0755), EOVERFLOW);
  EXPECT_EQ(branch.MkNod(root, "x", S_IFIFO | 0644, 0), EOVERFLOW);
  EXPECT_EQ(branch.SymLink("y", root, "x"), EOVERFLOW);
  EXPECT_TRUE(branch.Open(root, "file", O_RDONLY, 0).ok());
}

TEST_F(MappedBranchTest, ASquashedOwnerIsShownForAll) {
  rules_ = OwnerRules();
  rules_.squash_uid = 1000;
  ASSERT_EQ(chown((temp_ / "file").c_str(), 33, 44), 0);
  const MappedBranch branch = Make();
  EXPECT_EQ(branch.Stat(branch.root_fd(), "file")->st_uid, 1000u);
  EXPECT_EQ(branch.Stat(branch.root_fd(), "file")->st_gid, 44u);
  // To what it is shown as already: the layer's own stays. To another: the layer has it.
  EXPECT_TRUE(branch.Chown(branch.root_fd(), "file", 1000, kNone).ok());
  EXPECT_EQ(Stored("file").st_uid, 33u);
  EXPECT_TRUE(branch.Chown(branch.root_fd(), "file", 34, 45).ok());
  EXPECT_EQ(Stored("file").st_uid, 34u);
  EXPECT_EQ(Stored("file").st_gid, 45u);
  EXPECT_EQ(branch.Stat(branch.root_fd(), "file")->st_uid, 1000u);
}

// A directory whose owner can never be changed, as an unprivileged daemon finds all of them.
class RefusingBranch : public DirectoryBranch {
 public:
  using DirectoryBranch::DirectoryBranch;
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override {
    if (uid != kNone || gid != kNone) return Errno(EPERM);
    return DirectoryBranch::Chown(dirfd, name, uid, gid);
  }
};

TEST_F(MappedBranchTest, ChownOfASquashedOwnerSucceedsWhereItCannotBeStored) {
  UniqueFd root(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  OwnerRules rules;
  rules.squash_uid = 0;
  const MappedBranch only_uid(std::make_unique<RefusingBranch>(BranchSpec(), 0, UniqueFd(dup(root.get()))), rules);
  EXPECT_TRUE(only_uid.Chown(root.get(), "file", 33, kNone).ok());
  EXPECT_EQ(only_uid.Chown(root.get(), "file", 33, 44), EPERM);
  rules.squash_gid = 0;
  const MappedBranch both(std::make_unique<RefusingBranch>(BranchSpec(), 0, UniqueFd(dup(root.get()))), rules);
  ASSERT_EQ(chmod((temp_ / "file").c_str(), 04755), 0);
  EXPECT_TRUE(both.Chown(root.get(), "file", 33, 44).ok());
  EXPECT_EQ(Stored("file").st_mode & 07777, 0755u);
}

TEST_F(MappedBranchTest, AclsNameShiftedIds) {
  struct {
    posix_acl_xattr_header header;
    posix_acl_xattr_entry entries[5];
  } acl = {{POSIX_ACL_XATTR_VERSION},
           {{ACL_USER_OBJ, 6, kNone},
            {ACL_USER, 6, 100032},
            {ACL_GROUP_OBJ, 4, kNone},
            {ACL_MASK, 6, kNone},
            {ACL_OTHER, 4, kNone}}};
  const MappedBranch branch = Make();
  constexpr char kKey[] = "system.posix_acl_access";
  ASSERT_TRUE(branch.SetXattr(branch.root_fd(), "file", kKey, &acl, sizeof(acl), 0).ok());
  auto stored = acl;
  ASSERT_EQ(getxattr((temp_ / "file").c_str(), kKey, &stored, sizeof(stored)), ssize_t{sizeof(stored)});
  EXPECT_EQ(stored.entries[1].e_id, 33u);
  auto shown = acl;
  memset(&shown, 0, sizeof(shown));
  ErrnoOr<size_t> size = branch.GetXattr(branch.root_fd(), "file", kKey, &shown, sizeof(shown));
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(*size, sizeof(acl));
  EXPECT_EQ(memcmp(&shown, &acl, sizeof(acl)), 0);
  EXPECT_EQ(*branch.GetXattr(branch.root_fd(), "file", kKey, nullptr, 0), sizeof(acl));

  acl.entries[1].e_id = 5;
  EXPECT_EQ(branch.SetXattr(branch.root_fd(), "file", kKey, &acl, sizeof(acl), 0), EINVAL);
  EXPECT_EQ(branch.SetXattr(branch.root_fd(), "file", kKey, "short", 5, 0), EOPNOTSUPP);
}

}  // namespace
}  // namespace acetate::fusefs
