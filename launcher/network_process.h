// The program that connects a container's network namespace to the outside without privilege: pasta or slirp4netns. The
// helper starts it and watches over it; it dies with the helper, however that ends.
#pragma once

#include <signal.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/unique_fd.h"
#include "launcher/network.h"

namespace acetate::launcher {

struct NetworkProcess {
  UniqueFd pidfd;
  UniqueFd output;  // what it says on stdout and stderr; non-blocking
  UniqueFd ready;   // becomes readable when the namespace is connected
};

// The words of its command line; its stdin is the namespace. Pure.
std::vector<std::string> NetworkCommand(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                                        const std::string& runtime_dir);

// Takes the ports, or tries whether they can be had: an error says which one cannot, and why.
absl::Status HoldPorts(const std::vector<PublishedPort>& ports, std::vector<UniqueFd>* held);
absl::Status CheckPortsAreFree(const std::vector<PublishedPort>& ports);

// `netns` is the container's network namespace; `mask` the program's signal mask.
absl::StatusOr<NetworkProcess> StartNetwork(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                                            const std::string& runtime_dir, const UniqueFd& netns,
                                            const sigset_t& mask);

// What is left to do when it is ready: slirp4netns is told the ports. Waits for its answers.
absl::Status FinishNetwork(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                           const std::string& runtime_dir);

// The last line of its output that is about it, and not about the system's log.
std::string NetworkComplaint(absl::string_view output);

}  // namespace acetate::launcher
