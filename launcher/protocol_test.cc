#include "launcher/protocol.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

std::pair<UniqueFd, UniqueFd> Pair() {
  auto ends = SocketPair();
  if (!ends.ok()) throw std::runtime_error("socketpair");
  return *std::move(ends);
}

TEST(ProtocolTest, PacketsKeepTheirBoundsAndOrder) {
  auto [left, right] = Pair();
  ASSERT_TRUE(SendPacket(left.get(), Message::kOut, std::string("a\0b", 3)).ok());
  ASSERT_TRUE(SendPacket(left.get(), Message::kInputEnd, "").ok());
  ErrnoOr<Packet> first = ReceivePacket(right.get());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->type, Message::kOut);
  EXPECT_EQ(first->payload, std::string("a\0b", 3));
  ErrnoOr<Packet> second = ReceivePacket(right.get());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->type, Message::kInputEnd);
  EXPECT_EQ(second->payload, "");
}

TEST(ProtocolTest, NothingThereAndNoOneThereAreToldApart) {
  auto [left, right] = Pair();
  EXPECT_EQ(ReceivePacket(right.get()).error().value(), EAGAIN);
  EXPECT_EQ(AwaitPacket(right.get(), 0.01).error().value(), ETIMEDOUT);
  left.Reset();
  EXPECT_EQ(ReceivePacket(right.get()).error().value(), EPIPE);
  EXPECT_EQ(SendPacket(right.get(), Message::kDone, "").value(), EPIPE);
}

TEST(ProtocolTest, WhoDoesNotReadIsNotWaitedFor) {
  auto [left, right] = Pair();
  std::string large(kLargestPayload, 'x');
  Errno error;
  while ((error = SendPacket(left.get(), Message::kOut, large)).ok()) {
  }
  EXPECT_EQ(error.value(), EAGAIN);
  EXPECT_EQ(ReceivePacket(right.get())->payload, large);
}

TEST(ProtocolTest, FdsComeAlongAndCloseAtExec) {
  auto [left, right] = Pair();
  UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(SendPacket(left.get(), Message::kDone, "", {null.get(), left.get()}).ok());
  ErrnoOr<Packet> packet = ReceivePacket(right.get());
  ASSERT_TRUE(packet.ok());
  ASSERT_EQ(packet->fds.size(), 2u);
  struct stat st;
  ASSERT_EQ(fstat(packet->fds[0].get(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  for (const UniqueFd& fd : packet->fds) EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
}

TEST(ProtocolTest, ASocketIsFoundByItsDirectoryHoweverLongThePath) {
  TempDir dir;
  std::string deep = dir / std::string(150, 'd');
  MakeDirs(deep);
  EXPECT_EQ(ConnectIn(deep, "s").error().value(), ENOENT);
  ErrnoOr<UniqueFd> listener = ListenIn(deep, "s");
  ASSERT_TRUE(listener.ok()) << listener.error().value();
  ErrnoOr<UniqueFd> client = ConnectIn(deep, "s");
  ASSERT_TRUE(client.ok()) << client.error().value();
  listener->Reset();
  EXPECT_EQ(ConnectIn(deep, "s").error().value(), ECONNREFUSED);
}

}  // namespace
}  // namespace acetate::launcher
