#include "launcher/config_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

// RFC 3339, UTC. (gmtime would read the host's time zone file for it.)
std::string Now() {
  using namespace std::chrono;
  auto now = floor<seconds>(system_clock::now());
  auto today = floor<days>(now);
  year_month_day date(today);
  hh_mm_ss time(now - today);
  return absl::StrFormat("%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                         time.minutes().count(), time.seconds().count());
}

}  // namespace

absl::Status WriteConfigFile(const Plan& plan) {
  nlohmann::ordered_json json;
  json["id"] = plan.id;
  json["name"] = plan.spec.name;
  json["created"] = Now();
  json["image"] = plan.image.directory;
  json["layers_top_first"] = plan.image.layers;
  json["command"] = plan.spec.command;
  json["workdir"] = plan.spec.workdir;
  std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";

  std::string what = absl::StrCat("write ", plan.store.config);
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, plan.store.config.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), what);
  ssize_t n = write(fd->get(), text.data(), text.size());
  if (n < 0) return ErrnoToStatus(Errno::Last(), what);
  return static_cast<size_t>(n) == text.size() ? absl::OkStatus() : ErrnoToStatus(Errno(ENOSPC), what);
}

}  // namespace acetate::launcher
