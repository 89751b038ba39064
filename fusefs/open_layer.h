// Opens what `fusefs diff` and `fusefs check` look at: a layer, and the union of those below it. Called on the main
// thread, before there are others.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "fusefs/branch.h"
#include "fusefs/layer_walk.h"
#include "fusefs/lower_view.h"
#include "fusefs/options.h"
#include "fusefs/owner_calls.h"

namespace acetate::fusefs {

struct OpenedLayer {
  std::unique_ptr<OwnerCalls> calls;  // outlives what follows
  std::unique_ptr<Branch> upper;
  LayerReading reading;
  std::unique_ptr<LowerView> lowers;  // null when they are not named
  // Of kCheck: held until the end.
  UniqueFd work_fd;  // invalid without a work directory
  UniqueFd upper_lock;
};

// `exclusive`: an error when the layer or its work directory is in use, and nobody else may use them meanwhile.
// .wh. files count as the command line says, and in layers of container engines (engine_layer.h) where it says nothing.
absl::StatusOr<OpenedLayer> OpenLayer(const CommandLine& line, bool exclusive);

}  // namespace acetate::fusefs
