// The step of PID 1 that becomes the user: as the image's files know them, in the kernel or, where ids are faked, for
// the process that answers.
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <optional>

#include "common/syscalls.h"
#include "launcher/files.h"
#include "launcher/init.h"
#include "launcher/passwd.h"
#include "launcher/program.h"

namespace acetate::launcher {

struct Init::ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  absl::string_view home = "/";
  gid_t groups[256];
  size_t group_count = 0;
};

absl::string_view Init::ReadImageFile(const char* path, char* buffer) const {
  ErrnoOr<UniqueFd> fd = OpenInside(root_.get(), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                                    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
  struct stat st;
  if (!fd.ok() || fstat(fd->get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  size_t length = 0;
  while (length < kLargestImageFile) {
    ssize_t n = read(fd->get(), buffer + length, kLargestImageFile - length);
    if (n < 0) return {};
    if (n == 0) return {buffer, length};
    length += static_cast<size_t>(n);
  }
  return {};
}

Errno Init::Resolve(const BecomeUser& step, ResolvedUser* user) {
  const IdOrName& wanted = step.user.user;
  absl::string_view passwd = ReadImageFile("etc/passwd", passwd_.get());
  absl::string_view group = ReadImageFile("etc/group", group_.get());
  std::optional<PasswdEntry> entry =
      wanted.id.has_value() ? FindUser(passwd, *wanted.id) : FindUser(passwd, absl::string_view(wanted.name));
  if (!entry.has_value() && !wanted.id.has_value()) {
    snprintf(report_.detail, sizeof(report_.detail), "--user: there is no user %s in the image's /etc/passwd",
             wanted.name.c_str());
    FailWith(kExitOwnFailure);
  }
  user->uid = entry.has_value() ? entry->uid : *wanted.id;
  if (entry.has_value()) {
    user->gid = entry->gid;
    if (!entry->home.empty()) user->home = entry->home;
    user->group_count = FindMemberships(group, entry->name, user->groups, std::size(user->groups));
  }
  if (!step.user.group.has_value()) return kOk;
  // As in Docker, a group that is named takes the place of all others.
  user->group_count = 0;
  std::optional<uint32_t> gid = step.user.group->id.has_value() ? std::optional<uint32_t>(*step.user.group->id)
                                                                : FindGroup(group, step.user.group->name);
  if (!gid.has_value()) {
    snprintf(report_.detail, sizeof(report_.detail), "--user: there is no group %s in the image's /etc/group",
             step.user.group->name.c_str());
    FailWith(kExitOwnFailure);
  }
  user->gid = *gid;
  return kOk;
}

// Where ids are faked, nothing is asked of the kernel: the process that answers is told.
Errno Init::BeginAs(const ResolvedUser& user) {
  fake_user_.uid = user.uid;
  fake_user_.gid = user.gid;
  const size_t count = std::min(user.group_count, std::size(fake_user_.groups));
  std::copy(user.groups, user.groups + count, fake_user_.groups);
  fake_user_.group_count = static_cast<uint32_t>(count);
  rlimit number;
  if (getrlimit(RLIMIT_LOCKS, &number) != 0) return Errno::Last();
  number.rlim_cur = 0;
  return setrlimit(RLIMIT_LOCKS, &number) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const BecomeUser& step) {
  ResolvedUser user;
  if (step.look_up) {
    ACETATE_RETURN_IF_ERROR(Resolve(step, &user));
    if (plan_.home.empty()) {
      home_.assign("HOME=");  // within what was reserved
      home_.append(user.home.data(), std::min(user.home.size(), home_.capacity() - home_.size() - 1));
      envp_[0] = home_.data();
    }
  }
  if (step.fake) return BeginAs(user);
  if (!plan_.identity.MapsUid(user.uid) || !plan_.identity.MapsGid(user.gid)) {
    snprintf(report_.detail, sizeof(report_.detail),
             "--user: %u:%u is outside of the ids you may use; root can give you more in /etc/subuid and /etc/subgid",
             user.uid, user.gid);
    FailWith(kExitOwnFailure);
  }
  if (step.may_set_groups) {
    size_t count = 0;
    for (size_t i = 0; i < user.group_count; ++i) {
      if (plan_.identity.MapsGid(user.groups[i])) user.groups[count++] = user.groups[i];
    }
    if (setgroups(count, user.groups) != 0) return Errno::Last();
  }
  // So that the user may open them again, by /dev/stdout or by the terminal's name. Where it cannot be done they work
  // all the same.
  for (const UniqueFd& fd : in_.stdio) {
    if (fd.valid() && user.uid != 0 && fchown(fd.get(), user.uid, static_cast<gid_t>(-1)) != 0) break;
  }
  if (setresgid(user.gid, user.gid, user.gid) != 0) return Errno::Last();
  return setresuid(user.uid, user.uid, user.uid) == 0 ? kOk : Errno::Last();
}

}  // namespace acetate::launcher
