// The containers of a store, as commands other than run see them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "launcher/config_file.h"
#include "launcher/protocol.h"
#include "launcher/record.h"
#include "launcher/state_file.h"
#include "launcher/store.h"

namespace acetate::launcher {

struct Container {
  std::string id;
  StorePaths paths;
  ContainerConfig config;
  ContainerState state;
  bool live = false;     // a supervisor holds its record
  RunRecord record;      // of a live one, or of one that has just ended
  UniqueFd record_file;  // of FindContainer's: the record, which is read by it even when it is removed

  const std::string& name() const { return config.spec.name; }
};

// All, the newest first, without their record files. Without those that are just being made.
std::vector<Container> ListContainers(const std::string& store_root);

// The one of that name or id, or whose name or id begins so and no other's does.
absl::StatusOr<Container> FindContainer(const std::string& store_root, const std::string& reference);

// The rule of FindContainer, over pairs of id and name: the index.
absl::StatusOr<size_t> MatchReference(const std::vector<std::pair<std::string, std::string>>& containers,
                                      const std::string& reference);

// A connection to the helper of a live container.
absl::StatusOr<UniqueFd> Connect(const Container& container);

// Connects, sends one packet and waits for the answer to it; kRefused becomes an error with its reason.
absl::StatusOr<Packet> Ask(const Container& container, Message message);

// Waits until the container, which is FindContainer's, has ended and all is cleaned up; returns its exit status, also
// when the container has been removed meanwhile. `connection` is from Watch.
// Nothing: `seconds` (negative: no limit) went by.
absl::StatusOr<std::optional<int>> AwaitEnd(const Container& container, const UniqueFd& connection, double seconds);

// A connection that watches, for AwaitEnd; an invalid one when the container has just ended.
absl::StatusOr<UniqueFd> Watch(const Container& container);

}  // namespace acetate::launcher
