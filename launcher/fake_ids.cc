#include "launcher/fake_ids.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace acetate::launcher {
namespace {

bool IsOneOf(const FakeIdSet& ids, uint32_t id) { return id == ids.real || id == ids.effective || id == ids.saved; }

}  // namespace

bool FakeIds::Holds(gid_t gid) const {
  return gid == group.effective || std::find(groups.begin(), groups.end(), gid) != groups.end();
}

FakeIds IdsOf(const FakeUser& user) {
  FakeIds ids;
  ids.user = {user.uid, user.uid, user.uid, user.uid};
  ids.group = {user.gid, user.gid, user.gid, user.gid};
  ids.groups.assign(user.groups, user.groups + std::min<size_t>(user.group_count, std::size(user.groups)));
  return ids;
}

Errno SetId(uint32_t id, bool root, FakeIdSet* ids) {
  if (id == kUnchangedId) return Errno(EINVAL);
  if (root) {
    *ids = {id, id, id, id};
    return kOk;
  }
  if (id != ids->real && id != ids->saved) return Errno(EPERM);
  ids->effective = ids->filesystem = id;
  return kOk;
}

Errno SetRealAndEffective(uint32_t real, uint32_t effective, bool root, FakeIdSet* ids) {
  FakeIdSet wanted = *ids;
  if (real != kUnchangedId) {
    if (!root && real != ids->real && real != ids->effective) return Errno(EPERM);
    wanted.real = real;
  }
  if (effective != kUnchangedId) {
    if (!root && !IsOneOf(*ids, effective)) return Errno(EPERM);
    wanted.effective = effective;
  }
  if (real != kUnchangedId || (effective != kUnchangedId && effective != ids->real)) wanted.saved = wanted.effective;
  wanted.filesystem = wanted.effective;
  *ids = wanted;
  return kOk;
}

Errno SetAllThree(uint32_t real, uint32_t effective, uint32_t saved, bool root, FakeIdSet* ids) {
  for (uint32_t id : {real, effective, saved}) {
    if (!root && id != kUnchangedId && !IsOneOf(*ids, id)) return Errno(EPERM);
  }
  if (real != kUnchangedId) ids->real = real;
  if (effective != kUnchangedId) ids->effective = effective;
  if (saved != kUnchangedId) ids->saved = saved;
  ids->filesystem = ids->effective;
  return kOk;
}

uint32_t SetFilesystemId(uint32_t id, bool root, FakeIdSet* ids) {
  const uint32_t before = ids->filesystem;
  if (id != kUnchangedId && (root || IsOneOf(*ids, id) || id == before)) ids->filesystem = id;
  return before;
}

bool MayGive(const FakeIds& ids, uint32_t owner, uint32_t uid, uint32_t gid) {
  if (ids.is_root()) return true;
  if (owner != ids.user.filesystem) return false;
  return (uid == kUnchangedId || uid == owner) && (gid == kUnchangedId || ids.Holds(gid));
}

}  // namespace acetate::launcher
