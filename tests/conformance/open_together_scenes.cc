// One file, opened several times, in all orders: with --passthrough the kernel reads and writes some of them by itself.
#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <vector>

#include "tests/budget/requests.h"
#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class OpenTogetherScene : public SceneTest {
 protected:
  // A shared mapping of a page. The fd may be closed then.
  static char* Map(const UniqueFd& fd, int protection) {
    void* memory = mmap(nullptr, 4096, protection, MAP_SHARED, fd.get(), 0);
    EXPECT_NE(memory, MAP_FAILED) << strerror(errno);
    return static_cast<char*>(memory);
  }

  // What the mount was asked while `act` ran, of reads and writes.
  int DataRequests(const std::function<void()>& act) {
    Names(options_.mountpoint);  // once it answers, so does its control socket
    Requests spent = RequestsOf(options_.mountpoint, act);
    return spent["READ"] + spent["WRITE"];
  }
};

class PassedScene : public OpenTogetherScene {
 protected:
  void SetUp() override {
    if (!PassesThrough()) GTEST_SKIP() << "is about --passthrough";
  }
};

TEST_F(OpenTogetherScene, AReaderOfALowerFileSeesWhatLaterWritersWrite) {
  const std::string page(4096, 'l');
  WriteFile(Lower("a"), page);
  Mount();
  UniqueFd reader = Open(Union("a"), O_RDONLY);
  char* mapped = Map(reader, PROT_READ);
  EXPECT_EQ(mapped[0], 'l');
  UniqueFd writer = Open(Union("a"), O_RDWR);
  ASSERT_EQ(pwrite(writer.get(), "W", 1, 0), 1);
  EXPECT_EQ(ReadAll(reader)[0], 'W');
  EXPECT_EQ(mapped[0], 'W');
  // When nobody has it open any more it may be opened otherwise; the mapping stays.
  writer.Reset();
  reader.Reset();
  UniqueFd later = Open(Union("a"), O_RDWR);
  ASSERT_EQ(pwrite(later.get(), "L", 1, 1), 1);
  EXPECT_EQ(ReadFile(Union("a")).substr(0, 3), "WLl");
  EXPECT_EQ(std::string(mapped, 3), "WLl");
  later.Reset();
  munmap(mapped, 4096);
  EXPECT_EQ(ReadFile(Upper("a")).substr(0, 3), "WLl");
  EXPECT_EQ(ReadFile(Lower("a")), page);
}

TEST_F(OpenTogetherScene, AllPairsOfOpensAgree) {
  const std::string text(5000, 't');
  const std::array<int, 7> ways = {
      O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_TRUNC, O_RDONLY | O_DIRECT, O_WRONLY | O_TRUNC};
  for (const char* what : {"lower", "upper", "chmodded", "set-id"}) {
    for (int first : ways) {
      for (int second : ways) {
        const std::string name = std::string(what) + std::to_string(first) + "-" + std::to_string(second);
        const std::string layer = strcmp(what, "upper") == 0 ? Upper(name) : Lower(name);
        WriteFile(layer, text, strcmp(what, "set-id") == 0 ? 06755 : 0644);
      }
    }
  }
  Mount();
  for (const char* what : {"lower", "upper", "chmodded", "set-id"}) {
    for (int first : ways) {
      for (int second : ways) {
        const std::string name = std::string(what) + std::to_string(first) + "-" + std::to_string(second);
        SCOPED_TRACE(name);
        if (strcmp(what, "chmodded") == 0) {
          ASSERT_EQ(chmod(Union(name).c_str(), 0600), 0);
        }
        std::vector<UniqueFd> fds;
        std::string expected = text;
        for (int way : {first, second}) {
          fds.push_back(Open(Union(name), way));
          if ((way & O_TRUNC) != 0) expected.clear();
        }
        for (size_t i = 0; i < 2; ++i) {
          const int way = i == 0 ? first : second;
          if ((way & O_ACCMODE) == O_RDONLY) continue;
          const std::string mark = i == 0 ? "first" : "other";
          const bool append = (way & O_APPEND) != 0;
          const off_t at = append ? static_cast<off_t>(expected.size()) : static_cast<off_t>(10 * i);
          ASSERT_EQ(pwrite(fds[i].get(), mark.data(), mark.size(), append ? 0 : at), 5);
          if (expected.size() < static_cast<size_t>(at) + 5) expected.resize(static_cast<size_t>(at) + 5, '\0');
          expected.replace(static_cast<size_t>(at), 5, mark);
          for (size_t j = 0; j < 2; ++j) {
            const int other = j == 0 ? first : second;
            struct stat st;
            ASSERT_EQ(fstat(fds[j].get(), &st), 0);
            EXPECT_EQ(st.st_size, static_cast<off_t>(expected.size()));
            if ((other & (O_ACCMODE | O_DIRECT)) == O_RDONLY || (other & O_ACCMODE) == O_RDWR) {
              EXPECT_EQ(ReadAll(fds[j]), expected);
            }
          }
          EXPECT_EQ(ReadFile(Union(name)), expected);
        }
        fds.erase(fds.begin() + (first < second ? 0 : 1));
        EXPECT_EQ(ReadFile(Union(name)), expected);
        fds.clear();
        EXPECT_EQ(ReadFile(Union(name)), expected);
      }
    }
  }
}

TEST_F(OpenTogetherScene, SizesAndTimesFollowWrites) {
  WriteFile(Upper("a"), std::string(4096, 'u'));
  Mount();
  SetMtime(Union("a"), 1000000000);
  EXPECT_EQ(StatOf(Union("a")).st_mtime, 1000000000);
  UniqueFd fd = Open(Union("a"), O_RDWR);
  EXPECT_EQ(StatOf(Union("a")).st_mtime, 1000000000);
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 9999), 1);
  EXPECT_EQ(StatOf(Union("a")).st_size, 10000);
  EXPECT_GT(StatOf(Union("a")).st_mtime, 1000000000);
  ASSERT_EQ(ftruncate(fd.get(), 5000), 0);
  EXPECT_EQ(StatOf(Union("a")).st_size, 5000);
  EXPECT_EQ(ReadAll(fd).size(), 5000u);
  ASSERT_EQ(fsync(fd.get()), 0);
  SetMtime(Union("a"), 1000000000);
  // By a mapping, whose writes nobody tells the kernel's FUSE of.
  char* mapped = Map(fd, PROT_READ | PROT_WRITE);
  mapped[0] = 'm';
  ASSERT_EQ(msync(mapped, 4096, MS_SYNC), 0);
  EXPECT_GT(StatOf(Union("a")).st_mtime, 1000000000);
  munmap(mapped, 4096);
  fd.Reset();
  EXPECT_GT(StatOf(Union("a")).st_mtime, 1000000000);
  EXPECT_EQ(StatOf(Union("a")).st_size, StatOf(Upper("a")).st_size);
}

TEST_F(OpenTogetherScene, AMappingOutlivesItsFd) {
  WriteFile(Upper("a"), std::string(4096, 'u'));
  WriteFile(Lower("b"), std::string(4096, 'l'));
  for (const char* name : {"a", "b"}) {
    if (std::string(name) == "a") Mount();
    UniqueFd fd = Open(Union(name), O_RDWR);
    char* mapped = Map(fd, PROT_READ | PROT_WRITE);
    fd.Reset();
    mapped[0] = 'M';
    EXPECT_EQ(ReadFile(Union(name))[0], 'M');
    ASSERT_EQ(pwrite(Open(Union(name), O_WRONLY).get(), "W", 1, 1), 1);
    EXPECT_EQ(mapped[1], 'W');
    ASSERT_EQ(unlink(Union(name).c_str()), 0);
    mapped[2] = 'X';
    EXPECT_EQ(std::string(mapped, 3), "MWX");
    munmap(mapped, 4096);
  }
}

TEST_F(OpenTogetherScene, HolesCopiesAndAllocationsAreSeenByAll) {
  WriteFile(Upper("a"), std::string(20000, 'a'));
  WriteFile(Lower("b"), std::string(20000, 'b'));
  Mount();
  UniqueFd a = Open(Union("a"), O_RDWR);
  UniqueFd b = Open(Union("b"), O_RDWR);
  char* mapped = Map(b, PROT_READ);
  EXPECT_EQ(mapped[0], 'b');
  off_t from = 0, to = 0;
  ASSERT_EQ(copy_file_range(a.get(), &from, b.get(), &to, 5000, 0), 5000);
  EXPECT_EQ(mapped[0], 'a');
  EXPECT_EQ(ReadAll(b), std::string(5000, 'a') + std::string(15000, 'b'));
  if (fallocate(a.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096) == 0) {
    EXPECT_EQ(ReadAll(a).substr(8192, 4096), std::string(4096, '\0'));
    EXPECT_EQ(lseek(a.get(), 0, SEEK_HOLE), 8192);
  }
  ASSERT_EQ(fallocate(a.get(), 0, 0, 30000), 0);
  EXPECT_EQ(lseek(a.get(), 0, SEEK_END), 30000);
  EXPECT_EQ(ReadFile(Union("a")).size(), 30000u);
  munmap(mapped, 4096);
}

TEST_F(OpenTogetherScene, AProgramThatWasWrittenRuns) {
  std::string program = ReadFile("/bin/true");
  WriteFile(Lower("p"), "#!/bin/false\n", 0755);
  Mount();
  UniqueFd reader = Open(Union("p"), O_RDONLY);
  WriteFile(Union("p"), program, 0755);
  WriteFile(Union("q"), program, 0755);
  reader.Reset();
  EXPECT_EQ(system(Union("p").c_str()), 0);
  EXPECT_EQ(system(Union("q").c_str()), 0);
}

TEST_F(OpenTogetherScene, BitsSetWhileAStrangerHasItOpenAreClearedByItsWrite) {
  if (!IsMachineRoot()) GTEST_SKIP() << "acting as other users needs root";
  constexpr uid_t kStranger = 2001;
  WriteFile(Upper("a"), "text");
  ASSERT_EQ(chmod(Upper("a").c_str(), 0777), 0);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  Mount();
  int ready[2], go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  const std::string path = Union("a");
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    if (setgroups(0, nullptr) != 0 || setgid(kStranger) != 0 || setuid(kStranger) != 0) _exit(10);
    const int fd = open(path.c_str(), O_WRONLY);
    if (fd < 0 || write(ready[1], "", 1) != 1 || read(go[0], &byte, 1) != 1) _exit(11);
    _exit(write(fd, "evil", 4) == 4 ? 0 : 12);
  }
  char byte = 0;
  close(ready[1]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(chmod(path.c_str(), 06777), 0);
  EXPECT_EQ(StatOf(path).st_mode & 07777, 06777u);
  ASSERT_EQ(write(go[1], "", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (int fd : {ready[0], go[0], go[1]}) close(fd);
  EXPECT_EQ(StatOf(path).st_mode & 07777, 0777u);
  EXPECT_EQ(StatOf(Upper("a")).st_mode & 07777, 0777u);
}

TEST_F(PassedScene, TheDaemonIsNotAskedForAFileOfTheUpper) {
  WriteFile(Upper("a"), "upper");
  WriteFile(Lower("b"), "lower");
  Mount();
  EXPECT_EQ(DataRequests([&] {
              EXPECT_EQ(ReadFile(Union("a")), "upper");
              Append(Union("a"), "more");
              EXPECT_EQ(ReadFile(Union("a")), "uppermore");
              WriteFile(Union("new"), "new");
              EXPECT_EQ(ReadFile(Union("new")), "new");
              Append(Union("b"), "more");
              EXPECT_EQ(ReadFile(Union("b")), "lowermore");
            }),
            0);
  EXPECT_EQ(ReadFile(Upper("b")), "lowermore");
}

TEST_F(PassedScene, NorForAnyFileOfAUnionThatCannotChange) {
  WriteFile(Lower("a"), "lower");
  options_.upper.clear();
  options_.work.clear();
  Mount();
  EXPECT_EQ(DataRequests([&] {
              UniqueFd fd = Open(Union("a"), O_RDONLY);
              EXPECT_EQ(ReadAll(fd), "lower");
              char* mapped = Map(fd, PROT_READ);
              EXPECT_EQ(std::string(mapped, 5), "lower");
              munmap(mapped, 4096);
            }),
            0);
}

TEST_F(PassedScene, TruncatingAtOpenCopiesNothingUp) {
  WriteFile(Lower("a"), std::string(1 << 20, 'l'));
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR | O_TRUNC);
  EXPECT_EQ(StatOf(Upper("a")).st_size, 0);
  EXPECT_EQ(DataRequests([&] { EXPECT_EQ(write(fd.get(), "new", 3), 3); }), 0);
  EXPECT_EQ(ReadFile(Union("a")), "new");
}

TEST_F(PassedScene, ALargeLowerFileIsPassedOnceItIsCopied) {
  options_.mount_options = {"lazy_copy_up_min=1M"};
  std::string text(4 << 20, 'l');
  WriteFile(Lower("a"), text);
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(pwrite(fd.get(), "W", 1, 100), 1);
  text[100] = 'W';
  EXPECT_EQ(ReadAll(fd), text);
  // Whole, so that the copy is waited for.
  ASSERT_EQ(fallocate(fd.get(), 0, 0, 4 << 20), 0);
  EXPECT_EQ(ReadAll(fd), text) << "as it was opened";
  fd.Reset();
  ASSERT_EQ(ReadFile(Union("a")), text);
  fd = Open(Union("a"), O_RDWR);
  EXPECT_EQ(DataRequests([&] {
              EXPECT_EQ(pwrite(fd.get(), "X", 1, 200), 1);
              text[200] = 'X';
              EXPECT_EQ(ReadAll(fd), text);
            }),
            0);
}

TEST_F(PassedScene, WhoHasItOpenKeepsItsBranch) {
  WriteFile(Upper("a"), "text");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  const std::string command = FusefsProgram() + " branch " + options_.mountpoint + " mode 0 ro 2>/dev/null";
  EXPECT_NE(system(command.c_str()), 0) << "what it writes would go to a read-only branch";
  ASSERT_EQ(pwrite(fd.get(), "W", 1, 0), 1);
  EXPECT_EQ(ReadFile(Upper("a")), "Wext");
}

}  // namespace
}  // namespace acetate::conformance
