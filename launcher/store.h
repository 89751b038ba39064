// The store: where containers are kept between runs. Layout, below $XDG_DATA_HOME/acetate (mode 0700: what images hold
// setuid must not be reachable for others):
//
//   containers/ID/upper        what the container wrote, in the overlay format
//   containers/ID/work         fusefs's own
//   containers/ID/config.json  what was run
//   names/NAME                 a symlink to the ID that has the name
//   running/ID                 what a live container has outside of the store; locked as long as it lives
//
// A container's pieces are made in the order running, names, containers and removed in the reverse, so that a name or a
// directory without a locked file in running/ is never one that is being made.
//
// running/ID is a record, see record.h.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

struct StorePaths {
  std::string root;
  std::string container;
  std::string upper;
  std::string work;
  std::string config;
  std::string name_link;  // empty when the container has no name
  std::string record;
};

// 64 random hexadecimal digits.
absl::StatusOr<std::string> NewId();

// The first 12 digits: what people see.
std::string ShortId(absl::string_view id);

// $XDG_DATA_HOME/acetate, or $HOME/.local/share/acetate. Makes nothing.
absl::StatusOr<std::string> StoreRoot();

StorePaths PathsInStore(const std::string& root, const std::string& id, const std::string& name);

// Makes the store when it is missing; refuses one that is not the caller's own or is open to others.
absl::Status MakeStore(const std::string& root);

// Takes the name for `id`; an error says who has it. A name whose container is gone is free.
absl::Status TakeName(const StorePaths& paths, const std::string& id, const std::string& name);

// An error when another container has the name now. Makes nothing.
absl::Status CheckNameIsFree(const StorePaths& paths, const std::string& name);

}  // namespace acetate::launcher
