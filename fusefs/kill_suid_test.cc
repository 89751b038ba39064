#include "fusefs/kill_suid.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

TEST(KillSuidTest, DropsWhatGivesPrivilege) {
  TempDir temp;
  struct {
    mode_t before, after;
  } cases[] = {{04755, 0755}, {06777, 0777}, {02767, 02767}, {06767, 02767}, {0644, 0644}};
  for (const auto& modes : cases) {
    WriteFile(temp / "file", "", modes.before);
    UniqueFd fd(open((temp / "file").c_str(), O_RDWR));
    ErrnoOr<SuidKill> kill = KillSuid(fd.get());
    ASSERT_TRUE(kill.ok());
    EXPECT_EQ(kill->cleared, modes.before != modes.after);
    EXPECT_EQ(kill->setgid_left, (modes.after & S_ISGID) != 0);
    struct stat st;
    ASSERT_EQ(fstat(fd.get(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, modes.after);
  }
}

}  // namespace
}  // namespace acetate::fusefs
