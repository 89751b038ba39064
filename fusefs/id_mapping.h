// Which user and group ids the mount shows for those that the layers store: ranges that are shifted, and one id that
// all are squashed to. Plain data; immutable once the options are parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace acetate::fusefs {

// Ranges of ids. Without any, every id is itself; with some, an id outside of them has no counterpart.
class IdMapping {
 public:
  // Adds ranges from "STORED:SHOWN:COUNT[:STORED:SHOWN:COUNT...]". A colon in front means nothing: containers/storage
  // writes one. An error's message ends the sentence "it must be".
  absl::Status Add(absl::string_view text);

  bool empty() const { return ranges_.empty(); }
  std::optional<uint32_t> ToShown(uint32_t stored) const;
  std::optional<uint32_t> ToStored(uint32_t shown) const;

 private:
  struct Range {
    uint32_t stored = 0;
    uint32_t shown = 0;
    uint32_t count = 0;
  };

  std::vector<Range> ranges_;
};

// Who is shown to own things.
struct OwnerRules {
  IdMapping uids;
  IdMapping gids;
  // What every owner and every group is shown as, whatever the layers and the mappings say.
  std::optional<uint32_t> squash_uid;
  std::optional<uint32_t> squash_gid;

  // Whether owners are shown as the layers have them.
  bool none() const { return uids.empty() && gids.empty() && !squash_uid.has_value() && !squash_gid.has_value(); }
};

}  // namespace acetate::fusefs
