// That containers leave nothing: many at once, and many in a row, for each kind of user who launches. How many in a row
// the environment variable ACETATE_LEAK_RUNS says (default 60).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

constexpr int kAtOnce = 100;

int RunsInARow() {
  const char* text = getenv("ACETATE_LEAK_RUNS");
  int runs = 0;
  return text != nullptr && absl::SimpleAtoi(text, &runs) && runs > 0 ? runs : 60;
}

// The program of a process, if it lies in that directory; else empty. launch may run from a file that has no path, and
// has in its environment which it was.
std::string ProgramBelow(const std::string& directory, const fs::path& process) {
  std::error_code ignored;
  const std::string program = fs::read_symlink(process / "exe", ignored).string();
  if (absl::StartsWith(program, directory)) return program;
  if (ReadFileOrEmpty(process / "comm") != "launch\n") return "";
  const std::string environment = ReadFileOrEmpty(process / "environ");
  for (absl::string_view variable : absl::StrSplit(environment, '\0')) {
    if (absl::ConsumePrefix(&variable, "ACETATE_LAUNCH_PROGRAM=") && absl::StartsWith(variable, directory)) {
      return std::string(variable);
    }
  }
  return "";
}

// What containers of this test could leave on the machine, a line each. Other things come and go meanwhile.
class Remains {
 public:
  // `pids` are the containers' PID 1s.
  Remains(const LaunchFixture& host, const std::set<std::string>& ids, const std::set<pid_t>& pids)
      : host_(host), ids_(ids), pids_(pids) {}

  std::set<std::string> Look() {
    found_.clear();
    Processes();
    Mounts();
    Cgroups();
    Files(host_.store());
    Files(host_.runtime());
    return found_;
  }

 private:
  // Those of programs of this test's directory, and the containers'.
  void Processes() {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
      int pid;
      if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
      const std::string program = ProgramBelow(host_.path(), entry.path());
      if (!program.empty()) found_.insert(absl::StrCat("process ", program));
      if (pids_.count(pid) != 0 && ProgramOf(pid) == "sleep") found_.insert(absl::StrCat("PID 1, number ", pid));
    }
  }

  // In the host's mount namespace, in which the test is.
  void Mounts() {
    for (absl::string_view line : absl::StrSplit(ReadFileOrEmpty("/proc/self/mountinfo"), '\n')) {
      if (absl::StrContains(line, host_.path())) found_.insert(absl::StrCat("mount ", line));
    }
  }

  void Cgroups() {
    std::error_code ignored;
    for (auto it = fs::recursive_directory_iterator("/sys/fs/cgroup", ignored); it != fs::end(it);
         it.increment(ignored)) {
      const std::string name = it->path().filename();
      if (absl::StartsWith(name, "acetate-") && ids_.count(name.substr(8)) != 0)
        found_.insert(absl::StrCat("cgroup ", it->path().string()));
    }
  }

  void Files(const std::string& directory) {
    std::error_code ignored;
    for (auto it = fs::recursive_directory_iterator(directory, ignored); it != fs::end(it); it.increment(ignored)) {
      found_.insert(absl::StrCat("file ", it->path().string()));
    }
  }

  const LaunchFixture& host_;
  const std::set<std::string>& ids_;
  const std::set<pid_t>& pids_;
  std::set<std::string> found_;
};

struct Counts {
  uint64_t connections = 0;  // of FUSE, of the machine
  uint64_t bytes = 0;        // of the filesystem that the store is on

  static Counts Now(const LaunchFixture& host) {
    Counts counts;
    std::error_code ignored;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/sys/fs/fuse/connections", ignored)) {
      ++counts.connections;
    }
    for (const std::string& directory : {host.store(), host.runtime()}) {
      for (const auto& entry : fs::recursive_directory_iterator(directory, ignored)) {
        struct stat st;
        if (lstat(entry.path().c_str(), &st) == 0) counts.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
      }
    }
    return counts;
  }
};

class LeakTest : public EachUserTest {
 protected:
  // What is there when no container is; the store has been made.
  std::set<std::string> AtRest() {
    EXPECT_EQ(host_->Run({"--rm"}, {"true"}).status, 0);
    return Look();
  }

  std::set<std::string> Look() { return Remains(*host_, ids_, pids_).Look(); }

  // Limits take a cgroup, which without systemd only root can have here.
  std::vector<std::string> WithLimit() const {
    return GetParam() == Who::kRoot ? std::vector<std::string>{"--pids-limit", "100"} : std::vector<std::string>();
  }

  // Nothing but that, as soon as what ends of itself has ended.
  void ExpectNothingBut(const std::set<std::string>& before) {
    std::set<std::string> now;
    Eventually([&] { return (now = Look()) == before; });
    std::vector<std::string> left;
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(left));
    EXPECT_THAT(left, IsEmpty());
    EXPECT_EQ(now, before);
  }

  std::set<std::string> ids_;  // short, of the containers that there were
  std::set<pid_t> pids_;
};

ACETATE_FOR_EACH_USER(LeakTest);

TEST_P(LeakTest, AHundredAtOnceLeaveNothing) {
  const std::set<std::string> before = AtRest();
  std::vector<Running> running;
  std::vector<std::string> names;
  for (int i = 0; i < kAtOnce; ++i) {
    names.push_back(absl::StrCat("box", i));
    std::vector<std::string> words = {"--image", host_->image(), "-d", "--name", names.back()};
    for (const std::string& word : WithLimit()) words.push_back(word);
    // Some by the small init, and some with ends of their own: they go away while others come.
    if (i % 3 == 0) words.push_back("--init");
    if (i % 10 == 0) words.push_back("--rm");
    words.insert(words.end(), {"--", "sh", "-c", i % 10 == 0 ? "exit 0" : "touch /made; exec sleep 1000"});
    running.push_back(host_->Start(host_->WithProgram(words)));
  }
  for (Running& each : running) {
    const Result result = host_->Wait(std::move(each));
    EXPECT_EQ(result.status, 0) << result;
    ids_.insert(result.out.substr(0, 12));
  }
  for (const auto& container : nlohmann::json::parse(host_->Launch({"ps", "--json"}).out)) {
    pids_.insert(container.at("pid").get<int>());
  }
  EXPECT_EQ(ids_.size(), static_cast<size_t>(kAtOnce));
  EXPECT_EQ(pids_.size(), static_cast<size_t>(kAtOnce - kAtOnce / 10));
  std::vector<std::string> left;
  for (int i = 0; i < kAtOnce; ++i) {
    if (i % 10 != 0) left.push_back(names[i]);
  }
  // All stop at once, each by a command of its own.
  for (const std::string& name : left) running.push_back(host_->Start(host_->WithProgram({"rm", "-f", name})));
  running.erase(running.begin(), running.begin() + kAtOnce);
  for (Running& each : running) {
    const Result result = host_->Wait(std::move(each));
    EXPECT_EQ(result.status, 0) << result;
  }
  ExpectNothingBut(before);
}

TEST_P(LeakTest, ManyInARowLeakNothing) {
  const std::set<std::string> before = AtRest();
  const Counts first = Counts::Now(*host_);
  const int runs = RunsInARow();
  for (int i = 0; i < runs; ++i) {
    std::vector<std::string> flags = WithLimit();
    flags.push_back("--rm");
    const Result result = host_->Shell(flags, "echo x > /made; hostname");
    ASSERT_EQ(result.status, 0) << "run " << i << ": " << result;
    ids_.insert(result.out.substr(0, 12));
  }
  ExpectNothingBut(before);
  const Counts last = Counts::Now(*host_);
  EXPECT_EQ(last.bytes, first.bytes);
  // Others of the machine mount meanwhile, a few; one a run would be more.
  EXPECT_LT(last.connections, first.connections + 5 + static_cast<uint64_t>(runs) / 2);
  RecordProperty("runs", runs);
}

// One helper for all that is asked of it: its own fds do not grow.
TEST_P(LeakTest, ManyCommandsInOneContainerLeakNoFd) {
  const std::set<std::string> before = AtRest();
  ASSERT_EQ(host_->Run({"-d", "--name", "box"}, {"sleep", "1000"}).status, 0);
  std::map<std::string, size_t> first;
  auto fds = [&] {
    std::map<std::string, size_t> counts;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
      const std::string program = ProgramBelow(host_->path(), entry.path());
      if (program.empty()) continue;
      size_t count = 0;
      for ([[maybe_unused]] const auto& fd : fs::directory_iterator(entry.path() / "fd", ignored)) ++count;
      counts[absl::StrCat(program, " ", entry.path().filename().string())] = count;
    }
    return counts;
  };
  for (int i = 0; i < RunsInARow(); ++i) {
    ASSERT_EQ(host_->Launch({"exec", "box", "true"}).status, 0);
    ASSERT_EQ(host_->Launch({"ps"}).status, 0);
    if (i == 0) Eventually([&] { return (first = fds()).size() == 2; });
  }
  EXPECT_TRUE(Eventually([&] { return fds() == first; }));
  EXPECT_EQ(first.size(), 2u);  // the helper and fusefs
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
  ExpectNothingBut(before);
}

}  // namespace
}  // namespace acetate::launcher
