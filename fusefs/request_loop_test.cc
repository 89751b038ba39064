#include "fusefs/request_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

using Clock = std::chrono::steady_clock;

// For whatever is to happen at some time, on however busy a machine.
constexpr std::chrono::seconds kPatience(60);

template <typename Condition>
bool Eventually(const Condition& condition) {
  const auto deadline = Clock::now() + kPatience;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct Request {
  pid_t client;
  int number;
};

// Requests through a pipe; each is given to a function.
class PipeSource : public RequestSource {
 public:
  explicit PipeSource(std::function<void(const Request&)> process) : process_(std::move(process)) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    read_end_ = UniqueFd(fds[0]);
    write_end_ = UniqueFd(fds[1]);
  }

  void Send(const Request& request) { EXPECT_EQ(write(write_end_.get(), &request, sizeof(request)), ssize_t{8}); }
  void Close() { write_end_.Reset(); }

  std::unique_ptr<Slot> NewSlot() override { return std::make_unique<PipeSlot>(this); }
  bool Wait(int timeout_ms) override {
    pollfd poll_fd = {read_end_.get(), POLLIN, 0};
    return poll(&poll_fd, 1, timeout_ms) > 0;
  }
  bool Ended() override { return false; }

 private:
  class PipeSlot : public Slot {
   public:
    explicit PipeSlot(PipeSource* source) : source_(source) {}
    Received Receive() override {
      const ssize_t size = read(source_->read_end_.get(), &request_, sizeof(request_));
      if (size < 0) return errno == EINTR ? Received::kNothing : Received::kEnd;
      return size == sizeof(request_) ? Received::kRequest : Received::kEnd;
    }
    pid_t client() const override { return request_.client; }
    void Process() override { source_->process_(request_); }

   private:
    PipeSource* const source_;
    Request request_ = {};
  };

  const std::function<void(const Request&)> process_;
  UniqueFd read_end_, write_end_;
};

// A loop that runs in a thread until the test ends.
class Running {
 public:
  Running(std::function<void(const Request&)> process, const RequestLoop::Limits& limits)
      : source_(std::move(process)), loop_(&source_, limits), main_([this] { loop_.Run(); }) {}
  ~Running() {
    source_.Close();
    main_.join();
  }
  PipeSource& source() { return source_; }
  RequestLoop& loop() { return loop_; }

 private:
  PipeSource source_;
  RequestLoop loop_;
  std::thread main_;
};

// A gate that holds up who comes to it.
class Gate {
 public:
  void Open() { open_ = true; }
  void Pass() const {
    while (!open_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  std::atomic<bool> open_{false};
};

RequestLoop::Limits Limits() { return {.followers = 2, .leaders = 2, .threads = 8, .cpus = 2}; }

TEST(RequestLoopTest, EachRequestIsProcessedOnce) {
  std::vector<std::atomic<int>> processed(2000);
  {
    Running running([&](const Request& request) { ++processed[static_cast<size_t>(request.number)]; }, Limits());
    for (int i = 0; i < 2000; ++i) running.source().Send({getpid(), i});
    EXPECT_TRUE(Eventually(
        [&] { return std::all_of(processed.begin(), processed.end(), [](const auto& times) { return times > 0; }); }));
  }
  for (const auto& times : processed) EXPECT_EQ(times, 1);
}

TEST(RequestLoopTest, EndsWithItsSource) {
  for (int i = 0; i < 20; ++i) {
    Running running([](const Request&) {}, Limits());
    if (i % 2 != 0) running.source().Send({getpid(), i});
  }
}

// Three requests take long, by `take_long`; the hundred after them do not wait for that.
void ExpectNobodyWaits(const std::function<void(const Gate&)>& take_long) {
  Gate gate;
  std::atomic<int> done{0};
  Running running(
      [&](const Request& request) {
        if (request.number == 0) take_long(gate);
        ++done;
      },
      Limits());
  for (int i = 0; i < 3; ++i) running.source().Send({getpid(), 0});
  for (int i = 1; i <= 100; ++i) running.source().Send({getpid(), i});
  EXPECT_TRUE(Eventually([&] { return done == 100; }));
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return done == 103; }));
}

TEST(RequestLoopTest, WorkThatBlocksHoldsUpNobody) {
  ExpectNobodyWaits([](const Gate& gate) { RunBlocking([&] { gate.Pass(); }); });
}

TEST(RequestLoopTest, WhoDoesNotSayThatItBlocksIsFoundOut) {
  ExpectNobodyWaits([](const Gate& gate) { gate.Pass(); });
}

// As one that follows, and gets no CPU. Nothing waits to be read then.
TEST(RequestLoopTest, WhoGetsNoFurtherWithItsRequestIsFoundOut) {
  Gate gate;
  Running running([&](const Request&) { gate.Pass(); }, Limits());
  running.source().Send({getpid(), 0});
  EXPECT_TRUE(Eventually([&] { return running.loop().lead() == Lead::kSeveral; }));
  gate.Open();
}

TEST(RequestLoopTest, ThereIsABoundToItsThreads) {
  Gate gate;
  std::atomic<int> done{0};
  Running running(
      [&](const Request&) {
        RunBlocking([&] { gate.Pass(); });
        ++done;
      },
      Limits());
  for (int i = 0; i < 50; ++i) running.source().Send({getpid(), i});
  EXPECT_TRUE(Eventually([&] { return running.loop().threads() == Limits().threads; }));
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return done == 50; }));
  EXPECT_LE(running.loop().threads(), Limits().threads);
}

TEST(RequestLoopTest, SeveralClientsHaveSeveralLeaders) {
  std::atomic<int> done{0};
  Running running([&](const Request&) { ++done; }, Limits());
  int sent = 0;
  EXPECT_TRUE(Eventually([&] {
    for (int i = 0; i < 100; ++i) running.source().Send({i % 2 == 0 ? getpid() : getppid(), sent++});
    const Lead lead = running.loop().lead();
    return lead == Lead::kSeveral || lead == Lead::kFollowEach;
  }));
  EXPECT_TRUE(Eventually([&] { return done == sent; }));
}

TEST(RequestLoopTest, WithoutAFollowerItWorksAsWell) {
  std::atomic<int> done{0};
  RequestLoop::Limits limits = Limits();
  limits.followers = 0;
  limits.leaders = 1;
  Running running([&](const Request&) { ++done; }, limits);
  for (int i = 0; i < 100; ++i) running.source().Send({getpid(), i});
  EXPECT_TRUE(Eventually([&] { return done == 100; }));
}

TEST(RequestLoopTest, AfterAPauseItGoesOn) {
  std::atomic<int> done{0};
  Running running([&](const Request&) { ++done; }, Limits());
  for (int i = 1; i <= 3; ++i) {
    running.source().Send({getpid(), i});
    EXPECT_TRUE(Eventually([&] { return done == i; }));
    // The watcher sleeps by then.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

}  // namespace
}  // namespace acetate::fusefs
