// Whose ids containers have (--userns), and the devices of the host that they are shown (--device), for each kind of
// user who launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class IdsTest : public EachUserTest {
 protected:
  // One line and status 125.
  void ExpectRefusedWhileOthersRun(const std::vector<std::string>& flags, const std::string& message) {
    const Result result = host_->Run(flags, {"true"});
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result;
  }

  // And nothing left behind.
  void ExpectRefused(const std::vector<std::string>& flags, const std::string& message) {
    ExpectRefusedWhileOthersRun(flags, message);
    EXPECT_FALSE(fs::exists(host_->store() + "/containers") && !fs::is_empty(host_->store() + "/containers"));
    EXPECT_TRUE(IsRuntimeEmpty());
  }

  bool IsRuntimeEmpty() const { return !fs::exists(host_->runtime()) || fs::is_empty(host_->runtime()); }

  // Of a container's inspect.
  json Inspect(const std::string& name) { return json::parse(host_->Launch({"inspect", name}).out)[0]; }

  // The id of the host that the container's `inside` is; -1 for none.
  static int64_t OnHost(const json& map, uint32_t inside) {
    for (const json& range : map) {
      const uint32_t first = range.at("inside");
      if (inside >= first && inside - first < range.at("count").get<uint32_t>()) {
        return int64_t{range.at("outside")} + (inside - first);
      }
    }
    return -1;
  }

  static int64_t OwnerOf(const std::string& path) {
    struct stat st;
    return lstat(path.c_str(), &st) == 0 ? int64_t{st.st_uid} : -1;
  }

  bool HasRanges() const { return GetParam() == Who::kPlain; }
};

ACETATE_FOR_EACH_USER(IdsTest);

// ---- --userns

TEST_P(IdsTest, TheKeptIdIsTheUsersInVolumesAndTheImageIsRoots) {
  host_->MakeDirectory("volume");
  host_->Write("volume/mine", "");
  const Result result = host_->Shell({"--rm", "--userns", "keep-id", "-v", *host_ / "volume:/volume"},
                                     "id -u; stat -c %u /volume/mine /bin; touch /volume/made; grep Seccomp: "
                                     "/proc/self/status");
  EXPECT_EQ(result.status, 0) << result;
  // With a single id there is no root: all is the user's.
  const std::string uid = absl::StrCat(host_->uid());
  const std::string root = GetParam() == Who::kLone ? uid : "0";
  EXPECT_THAT(result.out, HasSubstr(uid + "\n" + uid + "\n" + root + "\n")) << result;
  EXPECT_EQ(OwnerOf(*host_ / "volume/made"), host_->uid());
}

TEST_P(IdsTest, WhoKeepsTheIdMayBeAskedForRootInstead) {
  const Result result = host_->Shell({"--rm", "--userns=keep-id", "-u", "0"}, "id -u; touch /etc/made && echo made");
  if (GetParam() == Who::kLone) {
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, HasSubstr("--user: "));
    return;
  }
  EXPECT_EQ(result.out, "0\nmade\n") << result;
}

TEST_P(IdsTest, ACommandThatIsAddedKeepsTheIdToo) {
  ASSERT_EQ(host_->Run({"-d", "--name", "box", "--userns", "keep-id"}, {"sleep", "1000"}).status, 0);
  EXPECT_EQ(host_->Launch({"exec", "box", "id", "-u"}).out, absl::StrCat(host_->uid(), "\n"));
  if (GetParam() != Who::kLone) {
    const Result result = host_->Launch({"exec", "-u", "0", "box", "sh", "-c", "id -u; touch /made; stat -c %u /made"});
    EXPECT_EQ(result.out, "0\n0\n") << result;
  }
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
}

// What lies on disk is the same in every mode, so a container's writable layer and an image mean the same to all.
TEST_P(IdsTest, OnDiskRootsFilesAreTheUsers) {
  for (const char* mode : {"private", "keep-id", "auto", "host"}) {
    if (mode == std::string("auto") && !HasRanges()) continue;
    if (mode == std::string("host") && GetParam() != Who::kRoot) continue;
    if (mode == std::string("keep-id") && GetParam() == Who::kLone) continue;
    SCOPED_TRACE(mode);
    const Result result = host_->Shell({"--name", "box", "-u", "0", "--userns", mode},
                                       "touch /roots /given && chown 5 /given 2>/dev/null; stat -c %u /roots");
    EXPECT_EQ(result.out, "0\n") << result;
    const std::string upper = host_->OnlyContainer() + "/upper";
    EXPECT_EQ(OwnerOf(upper + "/roots"), host_->uid());
    const std::map<Who, int64_t> given = {{Who::kRoot, 5}, {Who::kPlain, 100004}, {Who::kLone, host_->uid()}};
    EXPECT_EQ(OwnerOf(upper + "/given"), given.at(GetParam()));
    EXPECT_EQ(host_->Launch({"rm", "box"}).status, 0);
  }
}

// Root's container is in a user namespace whose map is that of the host's, and is not the host's.
TEST_P(IdsTest, WhatTheImageHasCanBeChangedInEveryWay) {
  host_->Write("image/base/dir/lower", "");
  const Result result =
      host_->Shell({"--rm"},
                   "set -e; busybox chown 0:0 /etc/motd; busybox chmod 600 /etc/passwd; stat -c %a "
                   "/etc/passwd; cat /etc/motd; rm -r /dir; mkdir /dir; ls /dir; busybox mv /etc /moved; "
                   "cat /moved/motd");
  EXPECT_EQ(result.out, "600\ntop\ntop\n") << result;
}

TEST_P(IdsTest, RunningContainersHaveNoIdInCommon) {
  if (!HasRanges()) {
    if (GetParam() == Who::kLone) ExpectRefused({"--userns", "auto"}, "launch: --userns auto needs subordinate ids");
    GTEST_SKIP() << "only the user acetate has subordinate ids here";
  }
  for (const char* name : {"one", "two"}) {
    const Result result = host_->Run({"-d", "--name", name, "--userns", "auto"}, {"sleep", "1000"});
    ASSERT_EQ(result.status, 0) << result;
  }
  const json one = Inspect("one"), two = Inspect("two");
  EXPECT_EQ(one.at("userns"), "auto:size=1024");
  EXPECT_EQ(one.at("uid_map"), json::parse(R"([{"inside": 0, "outside": 100000, "count": 1024}])"));
  EXPECT_EQ(two.at("uid_map"), json::parse(R"([{"inside": 0, "outside": 101024, "count": 1024}])"));
  EXPECT_EQ(two.at("gid_map"), two.at("uid_map"));
  for (const json& listed : json::parse(host_->Launch({"ps", "--json"}).out)) {
    EXPECT_EQ(listed.at("uid_map"), (listed.at("name") == "one" ? one : two).at("uid_map"));
  }
  // Their processes really are those users.
  EXPECT_EQ(OwnerOf(absl::StrCat("/proc/", one.at("pid").get<int>())), 100000);
  EXPECT_EQ(OwnerOf(absl::StrCat("/proc/", two.at("pid").get<int>())), 101024);
  // They see their own root's files, and the image's.
  EXPECT_EQ(host_->Launch({"exec", "two", "sh", "-c", "touch /etc/made; stat -c %u /etc/made /bin; id -u"}).out,
            "0\n0\n0\n");
  // What has ended gives its ids back.
  EXPECT_EQ(host_->Launch({"rm", "-f", "one"}).status, 0);
  ASSERT_EQ(host_->Run({"-d", "--name", "three", "--userns", "auto"}, {"sleep", "1000"}).status, 0);
  EXPECT_EQ(Inspect("three").at("uid_map"), one.at("uid_map"));
  ExpectRefusedWhileOthersRun({"--userns", "auto:size=64000"}, "of the 65536 subordinate ids that you have no 64000");
  EXPECT_EQ(host_->Launch({"rm", "-f", "two", "three"}).status, 0);
  EXPECT_TRUE(IsRuntimeEmpty());
}

TEST_P(IdsTest, TheHostsIdsAreForRoot) {
  if (GetParam() != Who::kRoot) return ExpectRefused({"--userns", "host"}, "launch: --userns host is for root");
  ASSERT_EQ(host_->Run({"-d", "--name", "box", "--userns", "host"}, {"sleep", "1000"}).status, 0);
  const std::string pid = absl::StrCat(Inspect("box").at("pid").get<int>());
  auto ns = [](const std::string& process) { return fs::read_symlink("/proc/" + process + "/ns/user").string(); };
  EXPECT_EQ(ns(pid), ns("self"));
  const Result result = host_->Launch({"exec", "box", "sh", "-c", "id -u; grep CapEff /proc/self/status"});
  // Docker's, without the making of device nodes.
  EXPECT_EQ(result.out, "0\nCapEff:\t00000000a00425fb\n") << result;
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
}

// What a user namespace forbids anyway: a node of the machine's memory, in the image, in a volume, or made.
TEST_P(IdsTest, WithTheHostsIdsNoDeviceNodeOpensTheMachine) {
  if (GetParam() != Who::kRoot) GTEST_SKIP() << "--userns host is for root";
  host_->MakeDirectory("volume");
  for (const char* path : {"/volume/zero", "/image/base/zero"}) {
    ASSERT_EQ(mknod((host_->path() + path).c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  }
  const Result result =
      host_->Shell({"--rm", "--userns", "host", "-v", *host_ / "volume:/volume", "--cap-add", "MKNOD"},
                   "for f in /zero /volume/zero; do head -c 1 $f || echo closed; done; busybox mknod "
                   "/made c 1 5 && { head -c 1 /made || echo closed; }; busybox mknod /dev/made c 1 "
                   "5 && { head -c 1 /dev/made || echo closed; }");
  EXPECT_EQ(result.out, "closed\nclosed\nclosed\nclosed\n") << result;
  EXPECT_THAT(host_->Shell({"--rm", "--userns", "host"}, "busybox mknod /made c 1 5").err,
              HasSubstr("Operation not permitted"));
}

TEST_P(IdsTest, MountsOfAContainerWithTheHostsIdsAreNotTheHosts) {
  if (GetParam() != Who::kRoot) GTEST_SKIP() << "--userns host is for root";
  // As on most machines; here, for the rest of this process, in a namespace of its own.
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
  ASSERT_EQ(host_->Run({"-d", "--name", "box", "--userns", "host"}, {"sleep", "1000"}).status, 0);
  EXPECT_THAT(ReadFileOrEmpty("/proc/self/mountinfo"), Not(HasSubstr(host_->path())));
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
  EXPECT_THAT(ReadFileOrEmpty("/proc/self/mountinfo"), Not(HasSubstr(host_->path())));
}

TEST_P(IdsTest, ExplainTellsWhichIdsTheHostHas) {
  const json plan = json::parse(host_->Run({"--explain", "--userns", "keep-id"}, {"true"}).out);
  EXPECT_EQ(plan.at("userns"), "keep-id");
  EXPECT_EQ(OnHost(plan.at("uid_map"), host_->uid()), host_->uid());
  const std::map<Who, int64_t> root = {{Who::kRoot, 0}, {Who::kPlain, 100000}, {Who::kLone, -1}};
  EXPECT_EQ(OnHost(plan.at("uid_map"), 0), root.at(GetParam()));
  EXPECT_TRUE(IsRuntimeEmpty());
}

TEST_P(IdsTest, BadModesAreRefused) {
  ExpectRefused({"--userns", "mine"}, "launch: --userns \"mine\" is none of private, keep-id");
  ExpectRefused({"--userns", "auto:size=0"}, "launch: --userns \"auto:size=0\" is not auto:size=NUMBER");
}

// ---- --device

TEST_P(IdsTest, ADeviceIsShownWhereItIsAskedFor) {
  const Result result = host_->Shell({"--rm", "--device", "/dev/zero:/dev/naught", "--device", "/dev/fuse"},
                                     "head -c 3 /dev/naught | wc -c; stat -c %F,%t,%T /dev/naught /dev/fuse");
  EXPECT_EQ(result.out, "3\ncharacter special file,1,5\ncharacter special file,a,e5\n") << result;
}

TEST_P(IdsTest, ADeviceIsShownInsideOfTheRootOnly) {
  const std::string outside = *host_ / "outside";
  host_->MakeDirectory("outside");
  fs::create_directory_symlink(outside, host_->image() + "/base/out");
  const Result result = host_->Shell({"--rm", "--device", "/dev/zero:/out/naught"}, "true");
  EXPECT_EQ(result.status, 125) << result;
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_P(IdsTest, ADeviceThatTheUserMayNotOpenStaysClosed) {
  const std::string node = *host_ / "closed";
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
  const Result result = host_->Shell({"--rm", "--device", node + ":/dev/closed"}, "head -c 1 /dev/closed | wc -c");
  EXPECT_EQ(result.out, GetParam() == Who::kRoot ? "1\n" : "0\n") << result;
}

TEST_P(IdsTest, ReadingAloneIsGrantedWhereWritingIsForbiddenAnyway) {
  const std::string node = *host_ / "node";
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0644, makedev(1, 5)), 0);
  if (GetParam() == Who::kRoot) return ExpectRefused({"--device", node + ":r"}, "cannot be shown for reading alone");
  ExpectRefused({"--device", "/dev/zero:r"}, "launch: --device: /dev/zero cannot be shown for reading alone");
  const Result result = host_->Shell({"--rm", "--device", node + ":/dev/node:r"},
                                     "head -c 1 /dev/node | wc -c; echo > /dev/node || echo kept");
  EXPECT_EQ(result.out, "1\nkept\n") << result;
}

TEST_P(IdsTest, WhatIsNoDeviceIsRefused) {
  ExpectRefused({"--device", "/etc/passwd"}, "launch: --device: /etc/passwd is no device");
  ExpectRefused({"--device", "/dev"}, "launch: --device: /dev is no device");
  ExpectRefused({"--device", "/dev/no-such"}, "launch: --device: /dev/no-such: No such file or directory");
  ExpectRefused({"--device", "zero"}, "launch: --device \"zero\" names no absolute path");
  ExpectRefused({"--device", "/dev/zero:rwm"}, "asks for m, making device nodes, which is never granted");
  ExpectRefused({"--device", "/dev/zero:w"}, "asks for w without r");
  ExpectRefused({"--device", "/dev/zero:/a:rx"}, "has permissions other than r and rw");
  ExpectRefused({"--device", "/dev/zero:/a", "--device", "/dev/full:/a"}, "another --device has too");
}

TEST_P(IdsTest, DevicesAndIdsAreKeptForTheNextStart) {
  const Result first =
      host_->Shell({"--name", "box", "--device", "/dev/zero:/dev/naught", "--userns", "keep-id"}, "true");
  ASSERT_EQ(first.status, 0) << first;
  const json spec = Inspect("box").at("spec");
  EXPECT_EQ(spec.at("devices"), json::parse(R"(["/dev/zero:/dev/naught:rw"])"));
  EXPECT_EQ(spec.at("userns"), "keep-id");
  EXPECT_EQ(host_->Launch({"start", "-a", "box"}).status, 0);
  EXPECT_EQ(host_->Launch({"rm", "box"}).status, 0);
}

}  // namespace
}  // namespace acetate::launcher
