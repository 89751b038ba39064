// For tests of a container's network: pages that it serves, fetched by way of the host's loopback.
#pragma once

#include <sys/socket.h>

#include <string>

#include "common/unique_fd.h"

namespace acetate::launcher {

// A port that nobody has at the moment. `type`: SOCK_STREAM or SOCK_DGRAM.
int FreePort(int type);

// Invalid when nobody listens there.
UniqueFd ConnectTo(int port, int type);

// What a server on a port of the host says to this; empty when there is none.
std::string Ask(int port, const std::string& text, int type = SOCK_STREAM);

// The page that a container's httpd has.
std::string Get(int port);

// The script of a container that serves such a page on its port 80.
std::string ServePage(const std::string& page);

}  // namespace acetate::launcher
