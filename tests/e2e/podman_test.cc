// Podman and Buildah without root, with fusefs as their mount program: images are imported, built, run and committed.
// The engines run as the unprivileged user "acetate" with a storage of their own for each test.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/temp_dir.h"
#include "tests/e2e/command.h"
#include "tests/e2e/container.h"

namespace acetate {
namespace {

// The storage and the base image are made once; each test leaves only images behind.
class PodmanTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string debian = TestImage(kDebianImage);
    obstacle_ = debian.empty() ? "there are no images: run tests/setup.sh" : "";
    for (const char* program : {"podman", "buildah", "runc"}) {
      if (RunCommand({"sh", "-c", "command -v \"$1\"", "sh", program}).status != 0) {
        obstacle_ = absl::StrCat(program, " is not installed: run tests/setup.sh");
      }
    }
    if (!obstacle_.empty()) return;
    path_ = "/tmp/acetate-podman-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
    const char* fusefs = getenv("ACETATE_FUSEFS");
    std::filesystem::copy_file(fusefs != nullptr ? fusefs : "fusefs/fusefs", path_ + "/fusefs");
    for (const char* directory : {"/config/containers", "/data", "/run", "/context"}) MakeDirs(path_ + directory);
    // Not every machine has systemd, a journal or a network.
    WriteFile(path_ + "/containers.conf",
              "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
              "[containers]\nnetns = \"none\"\n");
    WriteFile(path_ + "/config/containers/policy.json", R"({"default": [{"type": "insecureAcceptAnything"}]})");
    Configure("");
    RunCommand({"chmod", "0755", path_});
    RunCommand({"chmod", "0700", path_ + "/run"});
    if (geteuid() == 0) RunCommand({"chown", "-R", "acetate:", path_});
    // What a shell and the core utilities need, as root's.
    Output(absl::StrCat("cd ", debian, R"(
      tar --owner=0 --group=0 --numeric-owner -cf - bin sbin lib lib64 dev etc proc root run srv sys tmp usr/bin usr/sbin \
        usr/lib64 usr/lib/x86_64-linux-gnu/*.so* usr/share/zoneinfo/Europe | podman import -q - base)"));
  }

  static void TearDownTestSuite() {
    if (path_.empty()) return;
    RunAsUser("podman rm --all --force --time 0; podman unshare rm -rf $XDG_DATA_HOME/containers");
    // The process that keeps the user's namespaces, with all that is mounted there.
    const std::string pause = path_ + "/run/libpod/tmp/pause.pid";
    if (std::filesystem::exists(pause)) kill(atoi(ReadFile(pause).c_str()), SIGKILL);
    EXPECT_TRUE(EndedWithinSeconds(10)) << "a fusefs is left behind";
    std::filesystem::remove_all(path_);
  }

  void SetUp() override {
    if (!obstacle_.empty()) GTEST_SKIP() << obstacle_;
    Configure("");
  }

  // storage.conf, with further lines for the overlay driver.
  static void Configure(const std::string& overlay) {
    WriteFile(path_ + "/storage.conf",
              absl::StrCat("[storage]\ndriver = \"overlay\"\ngraphroot = \"", path_, "/data/containers/storage\"\n",
                           "rootless_storage_path = \"", path_, "/data/containers/storage\"\nrunroot = \"", path_,
                           "/run/containers\"\n[storage.options.overlay]\nmount_program = \"", path_, "/fusefs\"\n",
                           overlay));
  }

  static CommandResult RunAsUser(const std::string& script) {
    std::vector<std::string> words;
    if (geteuid() == 0) words = {"runuser", "-u", "acetate", "--"};
    words.insert(words.end(), {"env", "-i", "-C", path_, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                               "HOME=" + path_, "XDG_RUNTIME_DIR=" + path_ + "/run", "XDG_DATA_HOME=" + path_ + "/data",
                               "XDG_CONFIG_HOME=" + path_ + "/config", "LANG=C.UTF-8",
                               "CONTAINERS_STORAGE_CONF=" + path_ + "/storage.conf",
                               "CONTAINERS_CONF=" + path_ + "/containers.conf", "sh", "-euc", script});
    return RunCommand(words);
  }
  // The output of a script that has to succeed.
  static std::string Output(const std::string& script) {
    const CommandResult result = RunAsUser(script);
    EXPECT_EQ(result.status, 0) << script << "\n" << result;
    return result.out;
  }

  static bool EndedWithinSeconds(int seconds) {
    for (int i = 0; i < seconds * 100; ++i, usleep(10000)) {
      if (RunCommand({"pgrep", "-f", "^" + path_ + "/fusefs "}).status != 0) return true;
    }
    return false;
  }

  inline static std::string obstacle_;
  inline static std::string path_;
};

TEST_F(PodmanTest, AnImageIsBuiltInStepsRunAndCommitted) {
  WriteFile(path_ + "/context/Containerfile", R"(FROM localhost/base
RUN mkdir -p /srv/tree/sub && echo one >/srv/tree/one && echo two >/srv/tree/sub/two && ln -s sub/two /srv/tree/link
RUN chmod 0700 /srv/tree/sub && chown -R 33:44 /srv/tree/sub && rm /etc/issue.net && chmod 0600 /etc/motd
RUN mv /usr/share/zoneinfo /usr/share/moved && echo hard >/srv/hard && ln /srv/hard /srv/tree/hard
COPY file /srv/copied
RUN cp /bin/true /srv/suid && chmod 4755 /srv/suid && rm -r /etc/apt && mkdir /etc/apt && touch -d @1000000000 /etc/apt/new
)");
  WriteFile(path_ + "/context/file", "copied\n");
  Output("podman build -q --network=none -t built context");
  const std::string look = R"(
    stat -c '%n %u:%g %a %h %F' /srv/* /srv/tree/* /etc/motd
    cat /srv/copied /srv/tree/one /srv/tree/link
    for gone in /etc/issue.net /usr/share/zoneinfo; do test ! -e $gone; done
    ls /etc/apt; stat -c %Y /etc/apt/new; ls /usr/share/moved/Europe/London; mount | sed -n 's/.* on \/ type \([^ ]*\).*/\1/p'
  )";
  EXPECT_EQ(Output("podman run --rm built sh -euc \"" + absl::StrReplaceAll(look, {{"$", "\\$"}}) + "\""),
            "/srv/copied 0:0 644 1 regular file\n"
            "/srv/hard 0:0 644 2 regular file\n"
            "/srv/suid 0:0 4755 1 regular file\n"
            "/srv/tree 0:0 755 1 directory\n"
            "/srv/tree/hard 0:0 644 2 regular file\n"
            "/srv/tree/link 0:0 777 1 symbolic link\n"
            "/srv/tree/one 0:0 644 1 regular file\n"
            "/srv/tree/sub 33:44 700 1 directory\n"
            "/etc/motd 0:0 600 1 regular file\n"
            "copied\none\ntwo\nnew\n1000000000\n/usr/share/moved/Europe/London\nfuse.fusefs\n");

  Output("podman run --name first built sh -euc 'mv /srv/tree /srv/kept; rm /srv/copied; echo x >/srv/new'");
  EXPECT_EQ(Output("podman diff first | grep /srv | sort"),
            "A /srv/kept\nA /srv/kept/hard\nA /srv/kept/link\nA /srv/kept/one\nA /srv/kept/sub\nA /srv/kept/sub/two\n"
            "A /srv/new\nC /srv\nD /srv/copied\nD /srv/tree\n");
  Output("podman commit -q first committed");
  EXPECT_EQ(Output("podman run --rm committed sh -euc 'echo $(ls /srv /srv/kept); cat /srv/new /srv/kept/link'"),
            "/srv: hard kept new suid /srv/kept: hard link one sub\nx\ntwo\n");
}

TEST_F(PodmanTest, AContainerIsRestarted) {
  Output("podman run -d --name keep base sleep 300");
  Output("podman exec keep sh -c 'echo inside >/inside; mv /etc/apt /etc/moved'");
  Output("echo outside >outside; podman cp outside keep:/outside");
  Output("podman restart --time 0 keep");
  EXPECT_EQ(Output("podman exec keep sh -c 'cat /inside /outside; ls -d /etc/moved'"), "inside\noutside\n/etc/moved\n");
  Output("podman cp keep:/inside back; podman stop --time 0 keep");
  EXPECT_EQ(ReadFile(path_ + "/back"), "inside\n");
  EXPECT_EQ(Output("podman start keep >/dev/null; podman exec keep cat /inside"), "inside\n");
}

TEST_F(PodmanTest, BuildahMakesAnImageByHand) {
  const std::string script = R"(
    container=$(buildah from localhost/base)
    buildah run --isolation chroot $container sh -c 'mkdir /srv/by; echo hand >/srv/by/hand; rm /etc/issue'
    buildah commit -q --rm $container by-hand >/dev/null
  )";
  Output(script);
  EXPECT_EQ(Output("podman run --rm by-hand sh -c 'cat /srv/by/hand; ls /etc/issue 2>&1 || true'"),
            "hand\nls: cannot access '/etc/issue': No such file or directory\n");
}

// What the engine passes for storage.conf's options and for containers with users of their own.
TEST_F(PodmanTest, OwnersAreMappedAndRecorded) {
  EXPECT_EQ(Output("podman run --rm --uidmap 0:1:1000 --gidmap 0:1:1000 base sh -c '"
                   "touch /new; stat -c %u:%g / /etc/passwd /new; chown 33:44 /new; stat -c %u:%g /new'"),
            "0:0\n0:0\n0:0\n33:44\n");
  Configure("force_mask = \"shared\"\nmountopt = \"nodev,fsync=0\"\n");
  WriteFile(path_ + "/context/Containerfile",
            "FROM localhost/base\nRUN echo x >/srv/file && chown 33:44 /srv/file && chmod 0600 /srv/file\n");
  Output("podman build -q --network=none -t masked context");
  EXPECT_EQ(Output("podman run --rm masked stat -c %u:%g:%a /srv/file"), "33:44:600\n");
  const std::string stored =
      Output("podman unshare sh -c 'stat -c %u:%a data/containers/storage/overlay/*/diff/srv/file'");
  EXPECT_EQ(stored, "0:755\n");
}

}  // namespace
}  // namespace acetate
