#include "launcher/session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "common/temp_dir.h"
#include "launcher/terminal.h"

namespace acetate::launcher {
namespace {

using Kind = Session::Request::Kind;
using ::testing::IsEmpty;

Spec Detached() {
  Spec spec;
  spec.detach = true;
  spec.interactive = true;
  return spec;
}

// A session on pipes, the command's ends of them, and its owner's end of the connection.
class SessionTest : public ::testing::Test {
 protected:
  void Begin(const Spec& spec) {
    auto ends = SocketPair();
    ASSERT_TRUE(ends.ok());
    owner_ = std::move(ends->first);
    ErrnoOr<UniqueFd> listener = ListenIn(dir_.path(), "s");
    ASSERT_TRUE(listener.ok());
    session_ = std::make_unique<Session>(spec, std::move(ends->second), *std::move(listener));
  }

  void GivePipes() {
    int in[2], out[2], err[2];
    ASSERT_TRUE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    stdin_.Reset(in[0]);
    stdout_.Reset(out[1]);
    stderr_.Reset(err[1]);
    session_->SetPipes({UniqueFd(in[1]), UniqueFd(out[0]), UniqueFd(err[0])});
  }

  UniqueFd Connect() {
    ErrnoOr<UniqueFd> fd = ConnectIn(dir_.path(), "s");
    return fd.ok() ? *std::move(fd) : UniqueFd();
  }

  // Lets the session do what there is to do, until nothing is.
  std::vector<Session::Request> Turn() {
    std::vector<Session::Request> requests;
    for (;;) {
      std::vector<pollfd> fds;
      session_->AddTo(&fds);
      if (poll(fds.data(), fds.size(), 0) <= 0) return requests;
      session_->Handle(fds.data(), &requests);
    }
  }

  static std::string Received(const UniqueFd& client, Message type) {
    std::string text;
    for (;;) {
      ErrnoOr<Packet> packet = ReceivePacket(client.get());
      if (!packet.ok()) return text;
      if (packet->type == type) text += packet->payload;
    }
  }

  void Say(const UniqueFd& from, Message type, const std::string& payload = "") {
    ASSERT_TRUE(SendPacket(from.get(), type, payload).ok());
  }

  TempDir dir_;
  UniqueFd owner_;
  UniqueFd stdin_, stdout_, stderr_;
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, OutputGoesToThoseAttachedAndToTheLog) {
  Begin(Detached());
  GivePipes();
  session_->KeepLog(*LogWriter::Open(dir_.path(), 0));
  UniqueFd attached = Connect(), watching = Connect();
  Say(attached, Message::kAttach);
  Say(watching, Message::kWatch);
  Turn();
  ASSERT_EQ(write(stdout_.get(), "out\n", 4), 4);
  ASSERT_EQ(write(stderr_.get(), "err\n", 4), 4);
  Turn();
  std::string out;
  std::string err;
  for (ErrnoOr<Packet> packet = ReceivePacket(attached.get()); packet.ok(); packet = ReceivePacket(attached.get())) {
    (packet->type == Message::kOut ? out : err) += packet->payload;
  }
  EXPECT_EQ(out, "out\n");
  EXPECT_EQ(err, "err\n");
  EXPECT_FALSE(ReceivePacket(watching.get()).ok());
  EXPECT_EQ(LogReader(dir_.path()).ReadLines().size(), 2u);
}

TEST_F(SessionTest, TheEndIsToldToAllWithItsReasonToThoseWhoWatch) {
  Begin(Detached());
  GivePipes();
  UniqueFd watching = Connect(), silent = Connect();
  Say(watching, Message::kWatch);
  Turn();
  EXPECT_FALSE(session_->Drained());
  stdout_.Reset();
  stderr_.Reset();
  Turn();
  EXPECT_TRUE(session_->Drained());
  session_->End(200, "why");
  ErrnoOr<Packet> text = ReceivePacket(watching.get());
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->payload, "why");
  EXPECT_EQ(Received(watching, Message::kExit), "\xc8");
  EXPECT_EQ(Received(silent, Message::kExit), "\xc8");
}

TEST_F(SessionTest, WhoComesTooLateIsStillToldTheEnd) {
  Begin(Detached());
  UniqueFd late = Connect();
  Say(late, Message::kWatch);
  session_->End(7, "");
  session_.reset();
  // The end of the connection, with something unread on the other side, does not hide it.
  EXPECT_EQ(Received(late, Message::kExit), "\x07");
}

TEST_F(SessionTest, AClientThatDoesNotReadHoldsTheCommandUpUntilItIsGone) {
  Begin(Detached());
  GivePipes();
  ASSERT_EQ(fcntl(stdout_.get(), F_SETFL, O_NONBLOCK), 0);
  UniqueFd client = Connect();
  Say(client, Message::kAttach);
  Turn();
  std::string block(4096, 'x');
  size_t written = 0;
  while (write(stdout_.get(), block.data(), block.size()) > 0) {
    written += block.size();
    ASSERT_LT(written, 64u << 20) << "nothing holds it up";
    Turn();
  }
  EXPECT_EQ(errno, EAGAIN);
  client.Reset();
  Turn();
  EXPECT_GT(write(stdout_.get(), block.data(), block.size()), 0);
}

TEST_F(SessionTest, InputReachesTheCommandAndItsEndToo) {
  Begin(Detached());
  GivePipes();
  UniqueFd client = Connect();
  Say(client, Message::kInput, "typed");
  Say(client, Message::kInputEnd);
  Turn();
  char buffer[16];
  EXPECT_EQ(read(stdin_.get(), buffer, sizeof(buffer)), 5);
  EXPECT_EQ(read(stdin_.get(), buffer, sizeof(buffer)), 0);
}

TEST_F(SessionTest, WithoutInteractiveNoInputIsTaken) {
  Spec spec = Detached();
  spec.interactive = false;
  Begin(spec);
  GivePipes();
  UniqueFd client = Connect();
  Say(client, Message::kInput, "typed");
  Turn();
  int available = -1;
  ASSERT_EQ(ioctl(stdin_.get(), FIONREAD, &available), 0);
  EXPECT_EQ(available, 0);
}

TEST_F(SessionTest, AnOwnerThatHasToStayIsMissed) {
  Begin(Spec());
  owner_.Reset();
  std::vector<Session::Request> requests = Turn();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].kind, Kind::kOwnerGone);
}

TEST_F(SessionTest, AnOwnerMayLeaveWhenItSaysSo) {
  Begin(Spec());
  Say(owner_, Message::kDetach);
  owner_.Reset();
  EXPECT_THAT(Turn(), IsEmpty());
}

TEST_F(SessionTest, AnOwnerMayLeaveWhenItWasNotToStay) {
  Begin(Detached());
  owner_.Reset();
  EXPECT_THAT(Turn(), IsEmpty());
}

TEST_F(SessionTest, RequestsNameTheirClientAndAnswersReachIt) {
  Begin(Detached());
  UniqueFd first = Connect(), second = Connect();
  Turn();
  Say(second, Message::kSignal, std::string(1, 15));
  Say(second, Message::kPause);
  std::vector<Session::Request> requests = Turn();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].kind, Kind::kSignal);
  EXPECT_EQ(requests[0].signal, 15);
  EXPECT_EQ(requests[1].kind, Kind::kPause);
  session_->Reply(requests[1].client, Message::kRefused, "no");
  EXPECT_EQ(Received(second, Message::kRefused), "no");
  EXPECT_EQ(ReceivePacket(first.get()).error().value(), EAGAIN);
}

TEST_F(SessionTest, AStrangeMessageEndsTheConnectionAndNothingElse) {
  Begin(Detached());
  UniqueFd client = Connect();
  Say(client, static_cast<Message>('?'), "junk");
  EXPECT_THAT(Turn(), IsEmpty());
  EXPECT_EQ(ReceivePacket(client.get()).error().value(), EPIPE);
  Say(owner_, Message::kSignal, "");
  Say(owner_, Message::kWindowSize, "x");
  EXPECT_THAT(Turn(), IsEmpty());
}

TEST_F(SessionTest, ATerminalGetsItsSizeAndItsOutputIsNotLostAtItsEnd) {
  Spec spec = Detached();
  spec.terminal = true;
  Begin(spec);
  ErrnoOr<UniqueFd> root = UniqueFd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  ErrnoOr<Terminal> terminal = OpenTerminal(root->get());
  if (!terminal.ok()) GTEST_SKIP() << "no /dev/pts/ptmx here that may be opened";
  UniqueFd inside(fcntl(terminal->slave.get(), F_DUPFD_CLOEXEC, 0));
  session_->SetTerminal(std::move(terminal->master), std::move(terminal->slave));
  UniqueFd client = Connect();
  Say(client, Message::kAttach);
  WindowSize size{30, 90};
  Say(client, Message::kWindowSize, std::string(reinterpret_cast<const char*>(&size), sizeof(size)));
  Turn();
  EXPECT_EQ(SizeOf(inside.get()).rows, 30);
  EXPECT_EQ(SizeOf(inside.get()).columns, 90);
  ASSERT_EQ(write(inside.get(), "last", 4), 4);
  inside.Reset();
  // As long as PID 1 lives someone may open it again.
  Turn();
  EXPECT_FALSE(session_->Drained());
  session_->CommandEnded();
  Turn();
  EXPECT_TRUE(session_->Drained());
  EXPECT_EQ(Received(client, Message::kOut), "last");
}

TEST(TerminalTest, WhatIsNoDevptsIsNoTerminal) {
  TempDir dir;
  WriteFile((MakeDirs(dir / "dev/pts"), dir / "dev/pts/ptmx"), "");
  UniqueFd root(open(dir.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(OpenTerminal(root.get()).error().value(), ENODEV);
}

}  // namespace
}  // namespace acetate::launcher
