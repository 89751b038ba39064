#include "tests/e2e/container.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"

namespace acetate {
namespace {

constexpr char kPlainUser[] = "acetate";

// A program of this build: from the environment, else from the runfiles, where tests start.
std::string Program(const char* variable, const char* runfile) {
  const char* path = getenv(variable);
  return std::filesystem::canonical(path != nullptr ? path : runfile);
}

}  // namespace

ContainerHost::ContainerHost() {
  // Not TEST_TMPDIR, which is root's own.
  path_ = "/tmp/acetate-e2e-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  std::filesystem::copy_file(Program("ACETATE_LAUNCH", "launcher/launch"), path_ + "/launch");
  std::filesystem::copy_file(Program("ACETATE_FUSEFS", "fusefs/fusefs"), path_ + "/fusefs");
  for (const char* directory : {"/data", "/run"}) MakeDirs(path_ + directory);
  if (geteuid() == 0) {
    const passwd* user = getpwnam(kPlainUser);
    if (user == nullptr) throw std::runtime_error("there is no user acetate: run tests/setup.sh");
    for (const char* part : {"", "/launch", "/fusefs", "/data", "/run"}) {
      if (chown(absl::StrCat(path_, part).c_str(), user->pw_uid, user->pw_gid) != 0) throw std::runtime_error("chown");
    }
  }
  chmod((path_ + "/run").c_str(), 0700);
}

ContainerHost::~ContainerHost() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> ContainerHost::Command(const std::vector<std::string>& prefix,
                                                const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = prefix;
  const bool by_root = geteuid() == 0 && prefix.empty();
  words.insert(words.end(),
               {"env", "-i", absl::StrCat("PATH=/usr/local/bin:/usr/bin:/bin", by_root ? ":/usr/sbin:/sbin" : ""),
                "HOME=" + path_, "LANG=C.UTF-8", "XDG_DATA_HOME=" + path_ + "/data",
                "XDG_RUNTIME_DIR=" + path_ + "/run", path_ + "/launch"});
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

CommandResult ContainerHost::LaunchAsCaller(const std::vector<std::string>& arguments) const {
  return RunCommand(Command({}, arguments));
}

CommandResult ContainerHost::Launch(const std::vector<std::string>& arguments) const {
  if (geteuid() != 0) return LaunchAsCaller(arguments);
  return RunCommand(Command({"runuser", "-u", kPlainUser, "--"}, arguments));
}

CommandResult ContainerHost::Shell(const std::string& image, const std::string& script) const {
  return Launch({"--image", image, "--rm", "--", "sh", "-eu", "-c", script});
}

std::string TestImage(const std::string& name) {
  const char* images = getenv("ACETATE_IMAGES");
  if (images == nullptr) return "";
  std::string path = absl::StrCat(images, "/", name);
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace acetate
