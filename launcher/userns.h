// Which ids a container's user namespace has (--userns), decided from what the user who launches may have. Where they
// are not those of the helper's namespace, the container gets one of its own inside of it; fusefs stays outside and
// shifts the owners that it shows, so that layers mean the same in every container, whatever its ids are.
//
// Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launcher/identity.h"
#include "launcher/spec.h"

namespace acetate::launcher {

// Changes `identity`, which is the helper's (ChooseIdentity), to what `wanted` says. `taken` are the slices of other
// running containers. An error says what is missing.
absl::Status ChooseUserns(const UsernsSpec& wanted, const IdentitySources& sources, const std::vector<IdSlice>& taken,
                          Identity* identity);

// The first `count` ids of `total` that are in none of `taken`; none: there are not so many in a row.
std::optional<IdSlice> FirstFree(const std::vector<IdSlice>& taken, uint64_t total, uint32_t count);

// What `inner`, whose outside is the inside of `outer`, is outside of that.
std::vector<IdRange> Compose(const std::vector<IdRange>& inner, const std::vector<IdRange>& outer);

// A map as fusefs takes it (uidmapping=STORED:SHOWN:COUNT...): what is stored is the container's id.
std::string FormatMapping(const std::vector<IdRange>& map);

}  // namespace acetate::launcher
