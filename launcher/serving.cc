#include "launcher/serving.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/time.h>

#include "absl/strings/str_cat.h"

namespace acetate::launcher {

int FreePort(int type) {
  UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

UniqueFd ConnectTo(int port, int type) {
  UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  timeval limit = {2, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.Reset();
  return fd;
}

std::string Ask(int port, const std::string& text, int type) {
  UniqueFd fd = ConnectTo(port, type);
  if (!fd.valid() || send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char buffer[4096];
  ssize_t n;
  while ((n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(n));
    if (type == SOCK_DGRAM) break;
  }
  return answer;
}

std::string Get(int port) { return Ask(port, "GET / HTTP/1.0\r\n\r\n"); }

std::string ServePage(const std::string& page) {
  return absl::StrCat("mkdir /www; echo ", page, " >/www/index.html; exec /bin/busybox httpd -f -p 80 -h /www");
}

}  // namespace acetate::launcher
