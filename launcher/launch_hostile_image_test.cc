// What an image lays in launch's way, what a container leaves on the host, and who else tries to get at it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "launcher/attack_test.h"
#include "launcher/files.h"
#include "launcher/protocol.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class HostileImageTest : public AttackTest {
 protected:
  void SetUp() override {
    AttackTest::SetUp();
    if (host_ == nullptr) return;
    // What a link of the image leads to, if it is followed on the host.
    host_->MakeDirectory("outside");
    host_->Write("outside/secret", "of the host\n");
  }

  // Puts a link in the place of what the image has there.
  void Link(const std::string& target, const std::string& name) {
    const std::string path = absl::StrCat(host_->image(), "/base/", name);
    fs::remove_all(path);
    fs::create_symlink(target, path);
    host_->Own(path);
  }

  // One line, launch's own status, and nothing made: neither a container nor anything outside.
  void ExpectRefusal(const Result& result, const std::string& message) {
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result;
    EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
    EXPECT_TRUE(fs::is_empty(host_->runtime()));
    ExpectOutsideAsItWas();
  }
  void ExpectOutsideAsItWas() {
    EXPECT_EQ(std::distance(fs::directory_iterator(*host_ / "outside"), {}), 1);
    EXPECT_EQ(ReadFile(*host_ / "outside/secret"), "of the host\n");
  }
};

ACETATE_FOR_EACH_USER(HostileImageTest);

TEST_P(HostileImageTest, LinksInThePlaceOfMountPointsAreRefused) {
  for (const char* name : {"dev", "proc", "sys"}) {
    for (const std::string& target : {*host_ / "outside", std::string("../../../../.."), std::string("etc")}) {
      Link(target, name);
      ExpectRefusal(host_->Shell({}, "true"),
                    absl::StrCat("launch: /", name, " is a symbolic link in the image; it must be a directory"));
    }
    fs::remove(absl::StrCat(host_->image(), "/base/", name));
    host_->MakeDirectory(absl::StrCat("image/base/", name));
  }
  Link(*host_ / "outside", "mnt");
  ExpectRefusal(host_->Shell({"--tmpfs", "/mnt/x"}, "true"), "/mnt/x is a symbolic link in the image");
}

TEST_P(HostileImageTest, FilesInThePlaceOfMountPointsAreRefused) {
  fs::remove(*host_ / "image/base/proc");
  host_->Write("image/base/proc", "");
  ExpectRefusal(host_->Shell({}, "true"), "launch: mount proc on /proc: Not a directory");
}

TEST_P(HostileImageTest, WhatItHasInItsDevIsNotSeen) {
  host_->Write("image/base/dev/null", "no device\n");
  host_->Write("image/base/dev/pts/ptmx", "no terminal\n");
  host_->Write("image/base/dev/console", "no terminal\n");
  Link(*host_ / "outside/secret", "dev/zero");
  const Result result = host_->Shell({"--rm", "-t"}, "stat -c '%n %t:%T' -L /dev/null /dev/zero /dev/ptmx; tty");
  EXPECT_EQ(result.out, "/dev/null 1:3\r\n/dev/zero 1:5\r\n/dev/ptmx 5:2\r\n/dev/pts/0\r\n") << result;
  EXPECT_EQ(ReadFile(*host_ / "image/base/dev/null"), "no device\n");
}

TEST_P(HostileImageTest, DeviceNodesOfALayerDoNotOpen) {
  // Made by root of the machine; /dev/zero's number, so that nothing is hurt where it does open.
  const std::string node = *host_ / "image/base/zero";
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  ASSERT_EQ(chmod(node.c_str(), 0666), 0);
  std::vector<std::string> whose_ids = {"private"};
  // Where it is not in a user namespace the kernel does not forbid it by itself.
  if (GetParam() == Who::kRoot) whose_ids.emplace_back("host");
  for (const std::string& userns : whose_ids) {
    const Result result = host_->Run({"--rm", "--userns", userns}, {"head", "-c", "1", "/zero"});
    EXPECT_EQ(result.status, 1) << userns << result;
    EXPECT_THAT(result.err, HasSubstr("Permission denied")) << userns;
  }
}

TEST_P(HostileImageTest, FilesOfEtcAreLookedForInside) {
  // Absolute and relative ways out, a link to what is not there, and one at /etc itself.
  for (const std::string& target :
       {*host_ / "outside/new", std::string("../../../../../..") + (*host_ / "outside/new")}) {
    Link(target, "etc/hosts");
    const Result result = host_->Shell({"--rm", "--add-host", "peer:10.0.0.1"}, "grep peer /etc/hosts");
    EXPECT_EQ(result.out, "10.0.0.1\tpeer\n") << result;
    ExpectOutsideAsItWas();
  }
  fs::remove_all(*host_ / "image/top:layer/etc");
  Link(*host_ / "outside", "etc");
  const Result result = host_->Shell({"--rm", "--add-host", "peer:10.0.0.1"}, "true");
  EXPECT_EQ(result.status, 125) << result;
  ExpectOutsideAsItWas();
}

TEST_P(HostileImageTest, UsersAreReadFromRegularFilesOfThisImageAlone) {
  const std::string no_user = "launch: --user: there is no user mallory in the image's /etc/passwd";
  const std::string passwd = *host_ / "image/base/etc/passwd";
  host_->Write("outside/passwd", "mallory:x:0:0::/:/bin/sh\n");
  auto run = [&] {
    Result result = host_->Shell({"-u", "mallory"}, "id -u");
    fs::remove(*host_ / "outside/passwd");
    return result;
  };
  host_->Write("image/base/etc/other", "mallory:x:0:0::/:/bin/sh\n");
  Link(*host_ / "outside/passwd", "etc/passwd");
  ExpectRefusal(run(), no_user);
  // Not even one that stays inside.
  Link("other", "etc/passwd");
  ExpectRefusal(run(), no_user);
  Link("/proc/self/fd/0", "etc/passwd");
  ExpectRefusal(run(), no_user);

  fs::remove(passwd);
  ASSERT_EQ(mkfifo(passwd.c_str(), 0666), 0);
  host_->Own(passwd);
  ExpectRefusal(run(), no_user);  // and does not wait for a writer

  fs::remove(passwd);
  host_->Write("image/base/etc/passwd", "mallory:x:0:0::/:/bin/sh\n");
  ASSERT_EQ(truncate(passwd.c_str(), int64_t{1} << 40), 0);
  ExpectRefusal(run(), no_user);

  fs::remove(passwd);
  host_->MakeDirectory("image/base/etc/passwd");
  ExpectRefusal(run(), no_user);
}

// CVE-2024-21626: a working directory that is one of the launcher's own fds, of a directory of the host.
TEST_P(HostileImageTest, TheWorkingDirectoryIsInside) {
  Link("/proc/self/fd/8", "home");
  for (const std::string& directory : {std::string("/proc/self/fd/8"), std::string("/proc/1/fd/8"),
                                       std::string("/home"), std::string("/proc/1/cwd")}) {
    const Result result =
        host_->Exec({"sh", "-c", "exec 8<\"$1\"; shift; exec \"$@\"", "sh", *host_ / "outside", *host_ / "launch",
                     "--image", host_->image(), "-w", directory, "--", "cat", "secret"});
    ExpectRefusal(result, "launch: enter " + directory + ": Too many levels of symbolic links");
  }
  StartBox({}, {"sleep", "1000"});
  const Result result = host_->Exec({"sh", "-c", "exec 8<\"$1\"; shift; exec \"$@\"", "sh", *host_ / "outside",
                                     *host_ / "launch", "exec", "-w", "/home", "box", "cat", "secret"});
  EXPECT_EQ(result.status, 125) << result;
  EXPECT_EQ(result.out, "");
}

TEST_P(HostileImageTest, VolumesAreNotPlacedByMagicLinks) {
  Link("/proc/self/root", "srv");
  for (const char* target : {"/proc/self/cwd/x", "/proc/1/root/x", "/srv/x", "/proc/self/fd/8"}) {
    const Result result =
        host_->Exec({"sh", "-c", "exec 8<\"$1\"; shift; exec \"$@\"", "sh", *host_ / "outside", *host_ / "launch",
                     "--image", host_->image(), "-v", absl::StrCat(*host_ / "outside", ":", target), "--", "true"});
    ExpectRefusal(result, absl::StrCat(" as ", target, ": Too many levels of symbolic links"));
  }
}

// A container that may mount lays something else where exec makes its terminal.
TEST_P(HostileImageTest, AFakeTerminalIsNotTaken) {
  StartBox({"--cap-add", "SYS_ADMIN"},
           {"sh", "-c", "busybox umount /dev/pts && touch /ready && while ! test -e /end; do sleep 0.1; done"});
  ASSERT_TRUE(Eventually([&] { return Exec({}, {"ls", "/ready"}).status == 0; }));
  const std::pair<const char*, const char*> rows[] = {
      {"echo host >/dev/pts/ptmx", "No such device"},
      {"ln -s /dev/zero /dev/pts/ptmx", "Too many levels of symbolic links"},
      {"ln -s /proc/1/fd/1 /dev/pts/ptmx", "Too many levels of symbolic links"},
      {"touch /dev/pts/ptmx && mount -o bind /dev/tty /dev/pts/ptmx", "No such device"},
      {"touch /dev/pts/ptmx && mount -o bind /dev/zero /dev/pts/ptmx", "No such device"},
  };
  for (const auto& [laid, message] : rows) {
    Result result =
        Exec({}, {"busybox", "sh", "-c",
                  absl::StrCat("busybox umount /dev/pts/ptmx 2>/dev/null; rm -f /dev/pts/ptmx; busybox ", laid)});
    ASSERT_EQ(result.status, 0) << laid << "\n" << result;
    result = Exec({"-t"}, {"true"});
    EXPECT_EQ(result.status, 125) << laid << "\n" << result;
    EXPECT_THAT(result.err, HasSubstr(absl::StrCat("launch: make a terminal: ", message))) << laid;
  }
}

// The libraries and settings of an image are for its programs: launch is static and reads none of them.
TEST_P(HostileImageTest, ItsLoaderSettingsAreNotForLaunch) {
  host_->Write("image/base/etc/ld.so.preload", "/lib/evil.so\n");
  host_->Write("image/base/etc/nsswitch.conf", "passwd: evil\ngroup: evil\n");
  host_->Write("image/base/lib/evil.so", "not a library\n", 0755);
  StartBox({"-u", "root", "-e", "LD_PRELOAD=/lib/evil.so", "-e", "LD_AUDIT=/lib/evil.so"}, {"sleep", "1000"});
  const Result result = Exec({"-u", "root"}, {"id", "-u"});
  EXPECT_EQ(result.out + result.err, "0\n");
}

// What a container made, a setuid program of its root for one, is reached by nobody else.
TEST_P(HostileImageTest, OtherUsersDoNotReachWhatItLeaves) {
  const Result made = host_->Shell({}, "busybox cp /bin/busybox /evil; busybox chmod 4755 /evil");
  ASSERT_EQ(made.status, 0) << made;
  const std::string evil = host_->OnlyContainer() + "/upper/evil";
  ASSERT_EQ(static_cast<unsigned>(fs::status(evil).permissions()), 04755u);
  for (const char* name : {"", "/data", "/run"}) ASSERT_EQ(chmod((host_->path() + name).c_str(), 0755), 0);
  for (const uid_t other : {uid_t{61235}, uid_t{65534}}) {
    ASSERT_EQ(seteuid(other), 0);
    const int reached = faccessat(AT_FDCWD, evil.c_str(), F_OK, AT_EACCESS);
    const int error = errno;
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_EQ(reached, -1);
    EXPECT_EQ(error, EACCES);
  }
}

// What `action` returns in a process of another user.
int AsAnother(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kOther = 61235;
    if (setresgid(kOther, kOther, kOther) != 0 || setresuid(kOther, kOther, kOther) != 0) _exit(99);
    _exit(action());
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_P(HostileImageTest, OtherUsersCommandNothing) {
  StartBox({}, {"sleep", "1000"});
  std::string directory;
  for (const auto& entry : fs::directory_iterator(host_->runtime())) directory = entry.path();
  EXPECT_EQ(static_cast<unsigned>(fs::status(directory).permissions()), 0700u);
  for (const std::string& path : {host_->path(), *host_ / "run"}) ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  auto connect = [&] { return ConnectIn(directory, kControlSocket).ok() ? 0 : 1; };
  EXPECT_EQ(AsAnother(connect), 1);
  // Even who gets to the socket, because somebody has opened the directories, is not listened to.
  ASSERT_EQ(chmod(host_->runtime().c_str(), 0755), 0);
  ASSERT_EQ(chmod(directory.c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory + "/" + kControlSocket).c_str(), 0777), 0);
  auto ask = [&] {
    ErrnoOr<UniqueFd> socket = ConnectIn(directory, kControlSocket);
    if (!socket.ok()) return 1;
    SendPacket(socket->get(), Message::kNamespaces, "").IgnoreError();
    const ErrnoOr<Packet> answer = AwaitPacket(socket->get(), 30);
    return answer.ok() ? 2 : 0;
  };
  EXPECT_EQ(AsAnother(ask), 0);
  ASSERT_EQ(chmod(directory.c_str(), 0700), 0);
  ASSERT_EQ(chmod(host_->runtime().c_str(), 0700), 0);
}

}  // namespace
}  // namespace acetate::launcher
