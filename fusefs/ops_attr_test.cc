#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

class OpsAttrTest : public UnionFsTest {
 protected:
  static constexpr time_t kOld = 1000000000;

  void SetUp() override {
    Put("lower/file", "lower");
    const struct timespec times[2] = {{kOld, 0}, {kOld, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, (temp_ / "lower/file").c_str(), times, 0), 0);
    Start();
  }

  ErrnoOr<struct stat> Truncate(off_t size, bool by_fd) {
    AttrChange change;
    change.set_size = true;
    change.size = size;
    change.by_fd = by_fd;
    return fs_->SetAttr(Node("file"), change);
  }
};

TEST_F(OpsAttrTest, TruncatingToTheSameSizeKeepsTheTimes) {
  ErrnoOr<struct stat> st = Truncate(5, /*by_fd=*/false);
  ASSERT_TRUE(st.ok());
  EXPECT_EQ(st->st_mtime, kOld);
  EXPECT_EQ(Truncate(5, /*by_fd=*/false)->st_mtime, kOld) << "of the copy, too";
  EXPECT_EQ(Contents("file"), "lower");
}

TEST_F(OpsAttrTest, TruncatingToTheSameSizeThroughAnFdMovesThem) {
  ErrnoOr<struct stat> st = Truncate(5, /*by_fd=*/true);
  ASSERT_TRUE(st.ok());
  EXPECT_GT(st->st_mtime, kOld);
}

TEST_F(OpsAttrTest, EmptyingAnEmptyFileMovesThem) {
  ASSERT_TRUE(SetSize("file", 0).ok());
  const struct timespec old[2] = {{kOld, 0}, {kOld, 0}};
  AttrChange change;
  change.set_times = true;
  std::copy(std::begin(old), std::end(old), change.times);
  ASSERT_TRUE(fs_->SetAttr(Node("file"), change).ok());
  ErrnoOr<struct stat> st = Truncate(0, /*by_fd=*/false);
  ASSERT_TRUE(st.ok());
  EXPECT_GT(st->st_mtime, kOld) << "O_TRUNC does";
}

TEST_F(OpsAttrTest, TruncatingToAnotherSizeMovesThem) {
  ErrnoOr<struct stat> st = Truncate(2, /*by_fd=*/false);
  ASSERT_TRUE(st.ok());
  EXPECT_GT(st->st_mtime, kOld) << "though the copy was no longer to begin with";
  EXPECT_EQ(Contents("file"), "lo");
}

TEST_F(OpsAttrTest, SetgidWithoutGroupExecutionIsLeftToTheCaller) {
  ASSERT_TRUE(SetMode("file", 06666).ok());
  ErrnoOr<Written> written = fs_->Write(Node("file"), "x", 1, 0, /*kill_suid=*/true);
  ASSERT_TRUE(written.ok());
  EXPECT_TRUE(written->suid.cleared);
  EXPECT_TRUE(written->suid.setgid_left);
  EXPECT_EQ(fs_->GetAttr(Node("file"))->st_mode & 07777, 02666u);
  ASSERT_EQ(fs_->ClearSetgid(Node("file")), 0);
  EXPECT_EQ(fs_->GetAttr(Node("file"))->st_mode & 07777, 0666u);
}

}  // namespace
}  // namespace acetate::fusefs
