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
    ErrnoOr<bool> changed = KillSuid(fd.get());
    ASSERT_TRUE(changed.ok());
    EXPECT_EQ(*changed, modes.before != modes.after);
    struct stat st;
    ASSERT_EQ(fstat(fd.get(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, modes.after);
  }
}

}  // namespace
}  // namespace acetate::fusefs
