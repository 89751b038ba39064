// Programs that look at every attribute of every file, or die in the middle, in a container whose user has subordinate
// ids: rsync, tar, apt and SQLite.
#include <gtest/gtest.h>

#include <string>

#include "tests/e2e/command.h"
#include "tests/e2e/container.h"

namespace acetate {
namespace {

class ProgramsTest : public testing::Test {
 protected:
  void SetUp() override {
    tools_ = TestImage(kToolsImage);
    if (tools_.empty()) GTEST_SKIP() << "there are no images: run tests/setup.sh";
    const CommandResult found = host_.Shell(tools_, "command -v rsync setfattr setfacl setcap sqlite3");
    if (found.status != 0) GTEST_SKIP() << "the image of the tests is old: run tests/setup.sh";
  }

  // What a script in a container prints, which must succeed.
  std::string Output(const std::string& script) {
    const CommandResult result = host_.Shell(tools_, script);
    EXPECT_EQ(result.status, 0) << result;
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  ContainerHost host_;
  std::string tools_;
};

// Makes in directory $1 a tree of $2 files with everything that an archive may keep: owners, modes, times, hard links,
// symlinks, fifos, holes, odd names, xattrs, ACLs and a capability.
constexpr char kMakeTree[] = R"sh(
make_tree() {
  mkdir -p "$1"
  perl -e '
    my ($top, $files) = @ARGV;
    for my $i (0 .. $files - 1) {
      my $dir = sprintf("%s/%02d", $top, $i / 500);
      my $name = "$dir/" . ($i % 97 == 0 ? "odd \n\xff name $i" : "file$i");
      if ($i % 500 == 0) { mkdir $dir or die; }
      if ($i % 50 == 1) { symlink("file" . ($i + 1), $name) or die; next; }
      if ($i % 250 == 3) { system("mkfifo", $name) == 0 or die; next; }
      if ($i % 20 == 5 && ($i - 1) % 97) { link("$dir/file" . ($i - 1), $name) or die; next; }
      open(my $f, ">", $name) or die "$name: $!";
      print $f "contents of $i\n" x ($i % 40) if $i % 4 == 0;  # /dev/shm is small
      if ($i % 400 == 7) { seek($f, 1 << 20, 0); print $f "end"; }
      close $f;
      chown($i % 9 * 11, $i % 7 * 13, $name) or die;
      chmod((0644, 0600, 04755, 02755, 0444, 0)[$i % 6], $name) or die;
      utime(1e9, 1.1e9 + $i, $name) or die;
    }
  ' "$1" "$2"
  for directory in "$1"/*; do
    setfattr -h -n user.note -v "$directory" $(find "$directory" -type f -name 'file*[268]')
    setfacl -m u:33:rw,g:44:r $(find "$directory" -type f -name 'file*4[0246]')
    setfacl -d -m u:12:rwx "$directory"
    chmod 2775 "$directory"
  done
  chown -h 5:6 $(find "$1" -type l -name 'file*51')
  cp /bin/true "$1/capable"
  setcap cap_net_raw+ep "$1/capable"
  touch -d @1234567890 "$1" "$1"/*
}
)sh";

TEST_F(ProgramsTest, RsyncFindsNoDifferenceEitherWay) {
  // From a filesystem of the kernel to the union and back; what a second run would do is printed.
  EXPECT_EQ(Output(std::string(kMakeTree) + R"sh(
    make_tree /dev/shm/plain 20000
    rsync -aHAX --delete /dev/shm/plain/ /root/union/
    rsync -aHAXi --delete /dev/shm/plain/ /root/union/
    find /root/union -printf . | wc -c
    rm -r /root/union/03 /dev/shm/plain/05
    mv /root/union/07 /root/union/moved
    chmod 0700 $(find /root/union/09 -type f -name 'file*1*')
    rsync -aHAX --delete /root/union/ /dev/shm/plain/
    rsync -aHAXi --delete /root/union/ /dev/shm/plain/
    find /dev/shm/plain -printf . | wc -c
  )sh"),
            "20042\n19541\n");
}

TEST_F(ProgramsTest, TarKeepsEverything) {
  EXPECT_EQ(Output(std::string(kMakeTree) + R"sh(
    cd /root
    make_tree made 2000
    tar --xattrs --xattrs-include='*' --acls -cf archive made
    mkdir unpacked
    tar --xattrs --xattrs-include='*' --acls -xpf archive -C unpacked
    rsync -aHAXnic --delete made/ unpacked/made/
    getcap unpacked/made/capable
    tar --xattrs --xattrs-include='*' --acls -df archive -C unpacked && echo same
  )sh"),
            "unpacked/made/capable cap_net_raw=ep\nsame\n");
}

// From a repository on the union: what apt fetches, dpkg unpacks and a script of the package finishes.
TEST_F(ProgramsTest, AptInstallsHardLinksSetuidAndCapabilities) {
  EXPECT_EQ(Output(R"sh(
    cd /root
    mkdir -p p/DEBIAN p/usr/bin p/usr/lib/demo repository
    printf 'Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: N\nDescription: d\n' >p/DEBIAN/control
    printf '#!/bin/sh\nset -e\nsetcap cap_net_raw+ep /usr/bin/demo-capable\nchown root:mail /usr/bin/demo-setgid\nchmod 2755 /usr/bin/demo-setgid\n' >p/DEBIAN/postinst
    chmod 0755 p/DEBIAN/postinst
    cp /bin/true p/usr/bin/demo-suid; chmod 4755 p/usr/bin/demo-suid
    cp /bin/true p/usr/bin/demo-capable; cp /bin/true p/usr/bin/demo-setgid
    for i in 1 2 3; do ln p/usr/bin/demo-suid p/usr/lib/demo/link$i; done
    dpkg-deb --root-owner-group --build p repository/demo.deb >/dev/null
    cd repository
    { dpkg-deb -f demo.deb; echo "Filename: demo.deb"; echo "Size: $(stat -c %s demo.deb)"
      echo "SHA256: $(sha256sum demo.deb | cut -c1-64)"; } >Packages
    echo 'deb [trusted=yes] file:/root/repository ./' >/etc/apt/sources.list
    apt-get -q -o APT::Sandbox::User=root update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root install demo >/dev/null 2>&1
    dpkg --verify demo
    stat -c '%n %U:%G %a %h' /usr/bin/demo-* /usr/lib/demo/*
    getcap /usr/bin/demo-capable
    test /usr/bin/demo-suid -ef /usr/lib/demo/link3
    apt-get -q -y purge demo >/dev/null 2>&1
    ls /usr/bin/demo-* /usr/lib/demo 2>/dev/null || echo gone
  )sh"),
            "/usr/bin/demo-capable root:root 755 1\n"
            "/usr/bin/demo-setgid root:mail 2755 1\n"
            "/usr/bin/demo-suid root:root 4755 4\n"
            "/usr/lib/demo/link1 root:root 4755 4\n"
            "/usr/lib/demo/link2 root:root 4755 4\n"
            "/usr/lib/demo/link3 root:root 4755 4\n"
            "/usr/bin/demo-capable cap_net_raw=ep\n"
            "gone\n");
}

// The writer is killed while it commits; whoever opens the database next recovers what was committed.
TEST_F(ProgramsTest, SqliteRecoversWhatAKilledWriterCommitted) {
  EXPECT_EQ(Output(R"sh(
    cd /root
    for mode in delete wal; do
      rm -f db* said
      sqlite3 db "PRAGMA journal_mode = $mode; CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);" >/dev/null
      for round in 1 2 3 4 5; do
        { i=0; while :; do i=$((i + 1)); echo "BEGIN; INSERT INTO t (a, b) VALUES ($i, hex(randomblob(3000)));"
          echo "UPDATE t SET a = a + 1 WHERE id % 7 = $i % 7; COMMIT; SELECT 'committed ' || max(id) FROM t;"; done; } |
          sqlite3 db >>said 2>/dev/null &
        writer=$!
        sleep 0.$((round + 2))
        kill -9 $writer; wait $writer 2>/dev/null || true
        promised=$(sed -n 's/^committed //p' said | tail -n 1)
        sqlite3 db 'PRAGMA integrity_check'
        test "$(sqlite3 db 'SELECT max(id) FROM t')" -ge "$promised"
      done
      test "$promised" -gt 5
    done
  )sh"),
            "ok\nok\nok\nok\nok\nok\nok\nok\nok\nok\n");
}

}  // namespace
}  // namespace acetate
