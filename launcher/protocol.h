// What launch's processes tell each other: packets on a Unix socket (SOCK_SEQPACKET), a type and a payload each. The
// helper of a container holds one end of every connection: its owner's, which is the launch that made the container, by
// a socketpair, and those of other commands by a socket in the container's runtime directory.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

enum class Message : char {
  // To the helper.
  kIdMapsWritten = 'm',  // from the owner, first of all, when it writes the helper's id maps
  kAttach = 'a',         // send me the output, and the end
  kWatch = 'v',          // send me the end
  kSignal = 's',         // one byte: the number
  kInput = 'i',          // bytes for stdin
  kInputEnd = 'z',
  kWindowSize = 'w',  // a WindowSize
  kDetach = 'd',      // from the owner: the container goes on without me
  kPause = 'p',
  kUnpause = 'u',
  kNamespaces = 'n',  // give me fds of the container's namespaces

  // From the helper.
  kStarted = 'S',  // to the owner: the command runs; the host's number of PID 1 in decimal
  kOut = 'o',      // bytes of stdout, or of the terminal
  kErr = 'e',      // bytes of stderr
  kText = 't',     // a line for the user about how the container ended
  kExit = 'x',     // one byte: the exit status; all is cleaned up
  kDone = 'k',     // what was asked for is done; for kNamespaces with the fds
  kRefused = 'r',  // it is not; why
};

// The largest payload.
inline constexpr size_t kLargestPayload = 16384;

struct Packet {
  Message type = Message::kDone;
  std::string payload;
  std::vector<UniqueFd> fds;
};

struct WindowSize {
  uint16_t rows = 0;  // 0: not known
  uint16_t columns = 0;
};

// Sends one packet without waiting: EAGAIN when the other side does not read.
Errno SendPacket(int socket, Message type, absl::string_view payload, const std::vector<int>& fds = {});

// Takes one packet without waiting: EAGAIN when there is none, EPIPE when the other side is gone.
ErrnoOr<Packet> ReceivePacket(int socket);

// Waits for a packet, for `seconds` at most (negative: for ever): ETIMEDOUT.
ErrnoOr<Packet> AwaitPacket(int socket, double seconds);

// One record with fds (at most 8) in one piece. Does not allocate: it is for PID 1 between fork and exec.
Errno SendRecord(int socket, const void* data, size_t size, const int* fds, size_t count);
// Takes one without waiting; returns its size, 0 when the other side is gone.
ErrnoOr<size_t> ReceiveRecord(int socket, void* data, size_t size, std::vector<UniqueFd>* fds);

// Two connected ends.
ErrnoOr<std::pair<UniqueFd, UniqueFd>> SocketPair();

// A socket at `name` of a directory, whose path may have any length: listening, or connected to. Non-blocking.
ErrnoOr<UniqueFd> ListenIn(const std::string& directory, const char* name);
ErrnoOr<UniqueFd> ConnectIn(const std::string& directory, const char* name);

// The name of a container's socket in its runtime directory.
inline constexpr char kControlSocket[] = "control.sock";
// Of the same directory: what fusefs answers to.
inline constexpr char kFusefsSocket[] = "fusefs.sock";
// Where fusefs has the file open that it leaves its counters in.
inline constexpr int kFusefsStatsFd = 4;

}  // namespace acetate::launcher
