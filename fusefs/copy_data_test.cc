#include "fusefs/copy_data.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

class CopyDataTest : public testing::Test {
 protected:
  // Copies `size` bytes of `from` to a new file and returns what it then holds.
  std::string Copy(const std::string& from, off_t size) {
    UniqueFd in(open((temp_ / from).c_str(), O_RDONLY));
    UniqueFd out(open((temp_ / "copy").c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
    ErrnoOr<off_t> copied = CopyData(in.get(), out.get(), size);
    EXPECT_TRUE(copied.ok()) << copied.error().value();
    return ReadFile(temp_ / "copy");
  }

  TempDir temp_;
};

TEST_F(CopyDataTest, CopiesAll) {
  std::string contents(3 << 20, 'x');
  contents[12345] = 'y';
  WriteFile(temp_ / "file", contents);
  EXPECT_EQ(Copy("file", static_cast<off_t>(contents.size())), contents);
}

TEST_F(CopyDataTest, CopiesNoMoreThanAsked) {
  WriteFile(temp_ / "file", "0123456789");
  EXPECT_EQ(Copy("file", 4), "0123");
}

TEST_F(CopyDataTest, KeepsHoles) {
  WriteFile(temp_ / "file", "head");
  ASSERT_EQ(truncate((temp_ / "file").c_str(), 64 << 20), 0);
  std::string copy = Copy("file", 64 << 20);
  EXPECT_EQ(copy.size(), size_t{64} << 20);
  EXPECT_EQ(copy.substr(0, 5), std::string("head\0", 5));
  struct stat st;
  ASSERT_EQ(stat((temp_ / "copy").c_str(), &st), 0);
  EXPECT_LT(st.st_blocks * 512, 1 << 20);
}

TEST_F(CopyDataTest, ReportsAFullDisk) {
  WriteFile(temp_ / "file", "data");
  UniqueFd in(open((temp_ / "file").c_str(), O_RDONLY));
  UniqueFd full(open("/dev/full", O_RDWR));
  EXPECT_EQ(CopyData(in.get(), full.get(), 4).error(), ENOSPC);
}

}  // namespace
}  // namespace acetate::fusefs
