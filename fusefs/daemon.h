// The daemon's life: check, start, mount, serve, unmount.
#pragma once

#include "absl/status/status.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// Mounts the union that `options` describe and serves it until it is unmounted or a signal ends it. In the background
// (the default) this returns in the daemon's process only; the calling process exits when the mount is ready. Call
// once, before there are threads.
absl::Status ServeMount(const Options& options);

}  // namespace acetate::fusefs
