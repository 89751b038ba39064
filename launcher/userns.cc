#include "launcher/userns.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace acetate::launcher {
namespace {

uint64_t Count(const std::vector<IdRange>& ranges) {
  uint64_t count = 0;
  for (const IdRange& range : ranges) count += range.count;
  return count;
}

// `own` is the helper's 0, and the others are the helper's other ids in their order, around it.
std::vector<IdRange> Keep(uint32_t own, const std::vector<IdRange>& outer) {
  const auto total = static_cast<uint32_t>(std::min<uint64_t>(Count(outer), UINT32_MAX));
  const uint32_t below = std::min(own, total - 1);
  std::vector<IdRange> map;
  if (below > 0) map.push_back({0, 1, below});
  map.push_back({own, 0, 1});
  if (total - 1 > below) map.push_back({own + 1, own + 1, total - 1 - below});
  return map;
}

// The ids of a slice of `pool`, one after the other; the outsides of the pool are ids of the helper's.
std::vector<IdRange> Cut(const std::vector<IdRange>& pool, const IdSlice& slice) {
  std::vector<IdRange> map;
  uint64_t begin = slice.first;
  uint32_t inside = 0;
  for (const IdRange& range : pool) {
    if (begin < range.count && inside < slice.count) {
      const auto skipped = static_cast<uint32_t>(begin);
      const uint32_t count = std::min(range.count - skipped, slice.count - inside);
      map.push_back({inside, range.outside + skipped, count});
      inside += count;
    }
    begin -= std::min<uint64_t>(begin, range.count);
  }
  return map;
}

absl::Status KeepIds(const IdentitySources& sources, Identity* identity) {
  // Root's ids are the same inside already.
  if (identity->method == Identity::Method::kMirror) return absl::OkStatus();
  identity->inner_uids = Keep(sources.uid, identity->uids);
  identity->inner_gids = Keep(sources.gid, identity->gids);
  return absl::OkStatus();
}

absl::Status TakeSlice(uint32_t count, const IdentitySources& sources, const std::vector<IdSlice>& taken,
                       Identity* identity) {
  std::vector<IdRange> uids, gids;
  if (identity->method == Identity::Method::kSubordinate) {
    // Without the first, which is the user.
    uids = {{0, 1, static_cast<uint32_t>(std::min<uint64_t>(Count(identity->uids) - 1, UINT32_MAX))}};
    gids = {{0, 1, static_cast<uint32_t>(std::min<uint64_t>(Count(identity->gids) - 1, UINT32_MAX))}};
  } else if (identity->method == Identity::Method::kMirror) {
    uids = ParseSubordinate(sources.subuid, sources.user_name, sources.uid);
    gids = ParseSubordinate(sources.subgid, sources.user_name, sources.uid);
  }
  const uint64_t total = std::min(Count(uids), Count(gids));
  if (total == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("--userns auto needs subordinate ids, and /etc/subuid and /etc/subgid give ",
                     sources.user_name.empty() ? absl::StrCat("user ", sources.uid) : sources.user_name,
                     " none: usermod --add-subuids and --add-subgids"));
  }
  const std::optional<IdSlice> slice = FirstFree(taken, total, count);
  if (!slice.has_value()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--userns auto: of the ", total, " subordinate ids that you have no ", count,
                     " in a row are free; stop a container, or write auto:size=NUMBER"));
  }
  identity->slice = slice;
  identity->inner_uids = Cut(uids, *slice);
  identity->inner_gids = Cut(gids, *slice);
  identity->may_set_groups = true;
  return absl::OkStatus();
}

}  // namespace

absl::Status ChooseUserns(const UsernsSpec& wanted, const IdentitySources& sources, const std::vector<IdSlice>& taken,
                          Identity* identity) {
  switch (wanted.mode) {
    case UsernsSpec::Mode::kPrivate:
      return absl::OkStatus();
    case UsernsSpec::Mode::kKeepId:
      return KeepIds(sources, identity);
    case UsernsSpec::Mode::kAuto:
      return TakeSlice(wanted.size, sources, taken, identity);
    case UsernsSpec::Mode::kHost:
      if (identity->method != Identity::Method::kMirror) {
        return absl::FailedPreconditionError(
            "--userns host is for root: without privilege a container needs a user namespace; leave the flag out");
      }
      identity->method = Identity::Method::kHost;
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

std::optional<IdSlice> FirstFree(const std::vector<IdSlice>& taken, uint64_t total, uint32_t count) {
  std::vector<IdSlice> sorted = taken;
  std::sort(sorted.begin(), sorted.end(), [](const IdSlice& a, const IdSlice& b) { return a.first < b.first; });
  uint64_t first = 0;
  for (const IdSlice& each : sorted) {
    if (first + count <= each.first) break;
    first = std::max<uint64_t>(first, uint64_t{each.first} + each.count);
  }
  if (first + count > total) return std::nullopt;
  return IdSlice{static_cast<uint32_t>(first), count};
}

std::vector<IdRange> Compose(const std::vector<IdRange>& inner, const std::vector<IdRange>& outer) {
  std::vector<IdRange> composed;
  for (const IdRange& range : inner) {
    for (const IdRange& other : outer) {
      const uint64_t begin = std::max(range.outside, other.inside);
      const uint64_t end = std::min(uint64_t{range.outside} + range.count, uint64_t{other.inside} + other.count);
      if (begin >= end) continue;
      composed.push_back({static_cast<uint32_t>(range.inside + (begin - range.outside)),
                          static_cast<uint32_t>(other.outside + (begin - other.inside)),
                          static_cast<uint32_t>(end - begin)});
    }
  }
  return composed;
}

std::string FormatMapping(const std::vector<IdRange>& map) {
  std::string text;
  for (const IdRange& range : map) {
    absl::StrAppend(&text, text.empty() ? "" : ":", range.inside, ":", range.outside, ":", range.count);
  }
  return text;
}

}  // namespace acetate::launcher
