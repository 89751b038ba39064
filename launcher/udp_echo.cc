// Prints each datagram and answers it with itself: a UDP server for tests, since the image's BusyBox has none. Usage:
// udp_echo PORT
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(atoi(argv[1])));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return 1;
  for (;;) {
    char buffer[2048];
    sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n > 0 && write(STDOUT_FILENO, buffer, static_cast<size_t>(n)) != n) return 1;
    if (n > 0) sendto(fd, buffer, static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
}
