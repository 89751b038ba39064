// Real programs in a container, as an unprivileged user starts them: Debian's package manager, a compiler, Git and
// SQLite are more particular about a filesystem than any test of ours.
#include "tests/e2e/container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace acetate {
namespace {

using testing::Test;

class ContainerTest : public Test {
 protected:
  void SetUp() override {
    debian_ = TestImage(kDebianImage);
    tools_ = TestImage(kToolsImage);
    if (debian_.empty() || tools_.empty()) GTEST_SKIP() << "there are no images: run tests/setup.sh";
  }

  ContainerHost host_;
  std::string debian_;
  std::string tools_;
};

// A hash over everything in the image but access times, which reading it changes.
std::string Fingerprint(const std::string& image) {
  const CommandResult result = RunCommand(
      {"sh", "-c",
       "tar --sort=name --numeric-owner --xattrs --xattrs-include='*' --pax-option=delete=atime -cf - -C \"$1\" . |"
       "sha256sum",
       "sh", image});
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.err, "");
  return result.out;
}

TEST_F(ContainerTest, TheUserIsRootOfAWorldOfItsOwnAndTheImageStaysAsItWas) {
  const std::string before = Fingerprint(debian_);
  const CommandResult result =
      host_.Launch({"--image", debian_, "--", "sh", "-euc",
                    "id -u; hostname; echo $$; echo $(ls /); touch /new; rm /etc/hostname; mount"});
  EXPECT_EQ(result.status, 0) << result;
  std::vector<std::string> lines = absl::StrSplit(result.out, '\n');
  ASSERT_GE(lines.size(), 5U) << result;
  EXPECT_EQ(lines[0], "0");
  EXPECT_THAT(lines[1], testing::MatchesRegex("[0-9a-f]{12}"));
  EXPECT_EQ(lines[2], "1");
  EXPECT_EQ(lines[3], "bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var");
  EXPECT_THAT(lines[4], testing::HasSubstr(" on / type fuse.fusefs "));
  EXPECT_EQ(Fingerprint(debian_), before);

  const CommandResult upper = RunCommand(
      {"sh", "-c", "cd \"$1\"/containers/*/upper && find . ! -type d -printf '%y %p\\n' | sort", "sh", host_.store()});
  EXPECT_EQ(upper.out, "c ./etc/hostname\nf ./new\n") << upper;
}

TEST_F(ContainerTest, DpkgFindsEveryFileOfEveryPackageUnchanged) {
  const CommandResult result = host_.Shell(debian_, "dpkg --verify; dpkg-query -W | wc -l");
  EXPECT_EQ(result.status, 0) << result;
  // What dpkg --verify finds it prints; the number of packages shows that it had something to look at.
  EXPECT_GT(atoi(result.out.c_str()), 50) << result;
  EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << result;
}

TEST_F(ContainerTest, PerlAndAptRun) {
  const CommandResult perl = host_.Shell(debian_, "perl -e 'print 6 * 7, qq(\\n)'");
  EXPECT_EQ(perl.status, 0) << perl;
  EXPECT_EQ(perl.out, "42\n") << perl;
  const CommandResult apt = host_.Shell(debian_, "apt-get --version");
  EXPECT_EQ(apt.status, 0) << apt;
  EXPECT_EQ(apt.out.substr(0, 4), "apt ") << apt;
}

// dpkg unpacks beside, links a backup, syncs, renames over, and rewrites its database, all of it on the union.
TEST_F(ContainerTest, DpkgInstallsUpgradesAndRemovesAPackage) {
  const CommandResult result = host_.Shell(debian_, R"(
    cd /root
    build() {
      mkdir -p p/DEBIAN p/usr/share/demo p/etc
      printf 'Package: demo\nVersion: %s\nArchitecture: all\nMaintainer: N\nDescription: d\n' "$1" >p/DEBIAN/control
      printf '/etc/demo.conf\n' >p/DEBIAN/conffiles
      echo "$1" >p/etc/demo.conf
      for i in $(seq 50); do echo "$1 $i" >p/usr/share/demo/$i; done
      ln -sf 1 p/usr/share/demo/link
      dpkg-deb --build p demo_$1.deb >/dev/null
    }
    build 1
    build 2
    dpkg -i demo_1.deb >/dev/null
    cat /usr/share/demo/50 /etc/demo.conf
    dpkg -i demo_2.deb >/dev/null
    cat /usr/share/demo/link /etc/demo.conf
    dpkg --verify
    # A package of the image, so that files of a lower layer are removed as well.
    dpkg --purge --force-all mount >/dev/null 2>&1
    ls /bin/mount 2>&1 || true
    dpkg --purge demo >/dev/null
    ls /usr/share/demo 2>&1 || true
    dpkg --audit
  )");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out,
            "1 50\n1\n2 1\n2\n"
            "ls: cannot access '/bin/mount': No such file or directory\n"
            "ls: cannot access '/usr/share/demo': No such file or directory\n")
      << result;
}

TEST_F(ContainerTest, ATreeIsCopiedComparedMovedAndRemoved) {
  const CommandResult result = host_.Shell(debian_, R"(
    cp -a /usr/share/zoneinfo /root/copy
    diff -r --no-dereference /usr/share/zoneinfo /root/copy
    mv /usr/share/zoneinfo /usr/moved
    diff -r --no-dereference /usr/moved /root/copy
    tar -C /root -cf - copy | tar -C /tmp -xf -
    diff -r --no-dereference /tmp/copy /usr/moved
    rm -rf /usr/moved /root/copy /tmp/copy
    ls /usr/moved /root/copy /tmp/copy 2>/dev/null || echo gone
  )");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "gone\n") << result;
}

TEST_F(ContainerTest, ACProgramIsCompiledAndRun) {
  const CommandResult result = host_.Shell(tools_, R"(
    cd /root
    cat >hello.c <<'END'
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  char path[100] = "";
  readlink("/proc/self/exe", path, sizeof(path) - 1);
  printf("%s says hello to %zu\n", path, strlen("union"));
  return 7;
}
END
    gcc -O2 -Wall -o hello hello.c
    ./hello || echo "status $?"
  )");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "/root/hello says hello to 5\nstatus 7\n") << result;
}

TEST_F(ContainerTest, GitClonesAndFindsNoDamage) {
  const CommandResult result = host_.Shell(tools_, R"(
    cd /root
    git config --global user.name Nobody
    git config --global user.email nobody@example.com
    git init -q origin
    cd origin
    for i in $(seq 20); do
      mkdir -p d$((i % 3))
      seq $i 1000 >d$((i % 3))/f$i
      git add .
      git commit -q -m "commit $i"
    done
    git gc -q
    cd ..
    git clone -q origin copy
    git -C copy fsck --full --strict
    git -C copy status --porcelain
    git -C copy mv d1 moved
    git -C copy commit -q -m move
    git -C copy checkout -q HEAD~1
    git -C copy log --oneline | wc -l
    diff -r -x .git origin copy && echo alike
  )");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "20\nalike\n") << result;
}

TEST_F(ContainerTest, SqliteCommitsTwoHundredTimes) {
  for (const std::string mode : {"delete", "wal"}) {
    const CommandResult result = host_.Shell(tools_, R"(
      cd /root
      {
        echo "PRAGMA journal_mode = )" + mode + R"(;"
        echo 'CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT);'
        for i in $(seq 200); do echo "INSERT INTO t (value) VALUES ('value $i');"; done
        echo 'UPDATE t SET value = value || value;'
      } | sqlite3 database
      sqlite3 database 'PRAGMA integrity_check; SELECT count(*), sum(length(value)) FROM t;'
    )");
    EXPECT_EQ(result.status, 0) << result;
    EXPECT_EQ(result.out, mode + "\nok\n200|3384\n") << result;
  }
}

TEST_F(ContainerTest, AProcessOverTheMemoryLimitIsKilled) {
  if (geteuid() != 0) GTEST_SKIP() << "memory limits without root need a delegated cgroup";
  const CommandResult result = host_.LaunchAsCaller(
      {"--image", debian_, "--rm", "-m", "64m", "--", "perl", "-e", "my @a; push @a, 'x' x 1048576 while @a < 1000"});
  EXPECT_EQ(result.status, 128 + 9) << result;
  const CommandResult modest = host_.LaunchAsCaller(
      {"--image", debian_, "--rm", "-m", "64m", "--", "perl", "-e", "my @a; push @a, 'x' x 1048576 while @a < 20"});
  EXPECT_EQ(modest.status, 0) << modest;
}

}  // namespace
}  // namespace acetate
