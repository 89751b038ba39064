#include "fusefs/session_loop.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "common/unique_fd.h"
#include "fusefs/request_loop.h"

namespace acetate::fusefs {
namespace {

// Enough for what the kernel sends at most unless more is asked for (256 pages), and its header.
constexpr size_t kUsualRequest = (1 << 20) + 4096;
constexpr size_t kLargestRequest = 1 << 30;
// To copy so much takes as long as to wake a thread on another CPU.
constexpr size_t kBulk = 64 << 10;

class SessionSource final : public RequestSource {
 public:
  explicit SessionSource(fuse_session* session) : session_(session), fd_(fuse_session_fd(session)) {}

  std::unique_ptr<Slot> NewSlot() override { return std::make_unique<SessionSlot>(this); }

  bool Wait(int timeout_ms) override {
    pollfd poll_fd = {fd_, POLLIN, 0};
    return poll(&poll_fd, 1, timeout_ms) > 0;
  }

  bool Ended() override { return fuse_session_exited(session_) != 0; }

  int error() const { return error_; }

 private:
  class SessionSlot final : public Slot {
   public:
    explicit SessionSlot(SessionSource* source) : source_(source) {}

    Received Receive() override { return source_->Receive(this); }

    pid_t client() const override {
      return static_cast<pid_t>(reinterpret_cast<const fuse_in_header*>(buffer_.get())->pid);
    }

    bool bulk() const override {
      const auto* header = reinterpret_cast<const fuse_in_header*>(buffer_.get());
      return header->opcode == FUSE_READ && size_ >= sizeof(*header) + sizeof(fuse_read_in) &&
             reinterpret_cast<const fuse_read_in*>(header + 1)->size >= kBulk;
    }

    void Process() override {
      fuse_buf buf = {};
      buf.mem = buffer_.get();
      buf.size = size_;
      fuse_session_process_buf(source_->session_, &buf);
    }

   private:
    friend class SessionSource;

    struct Free {
      void operator()(char* memory) const { free(memory); }
    };

    SessionSource* const source_;
    std::unique_ptr<char, Free> buffer_;  // by malloc: what is not used of it costs nothing
    size_t capacity_ = 0;
    size_t size_ = 0;
  };

  Received Receive(SessionSlot* slot) {
    if (slot->buffer_ == nullptr) Grow(slot, kUsualRequest);
    const ssize_t size = read(fd_, slot->buffer_.get(), slot->capacity_);
    const int error = errno;
    if (Ended()) return Received::kEnd;
    if (size >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
      slot->size_ = static_cast<size_t>(size);
      return Received::kRequest;
    }
    if (size < 0) {
      // ENOENT: the request was interrupted before it was read.
      if (error == EINTR || error == EAGAIN || error == ENOENT) return Received::kNothing;
      // The kernel says so before there is a request, when the buffer would not do for every one.
      if (error == EINVAL && slot->capacity_ < kLargestRequest) {
        Grow(slot, 2 * slot->capacity_);
        return Received::kNothing;
      }
    }
    if (size >= 0 || error != ENODEV) error_ = size >= 0 ? EIO : error;  // ENODEV: unmounted
    fuse_session_exit(session_);
    return Received::kEnd;
  }

  static void Grow(SessionSlot* slot, size_t capacity) {
    slot->buffer_.reset(static_cast<char*>(malloc(capacity)));
    slot->capacity_ = slot->buffer_ != nullptr ? capacity : 0;
  }

  fuse_session* const session_;
  const int fd_;
  std::atomic<int> error_{0};
};

}  // namespace

UringSupport LookForUring() {
  UringSupport support;
  support.built_in = ACETATE_LIBFUSE_HAS_URING;
  const UniqueFd fd(open("/sys/module/fuse/parameters/enable_uring", O_RDONLY | O_CLOEXEC));
  support.kernel_has = fd.valid();
  char value = 'N';
  support.kernel_permits = fd.valid() && read(fd.get(), &value, 1) == 1 && (value == 'Y' || value == '1');
  return support;
}

absl::StatusOr<bool> TakesUring(Io io, const UringSupport& support) {
  if (io == Io::kThreads) return false;
  if (support.built_in && support.kernel_permits) return true;
  if (io == Io::kAuto) return false;
  if (!support.built_in) {
    return absl::FailedPreconditionError(
        "io=uring: this fusefs is built with a libfuse without io_uring; build it with libfuse 3.18, or leave the "
        "option out");
  }
  if (!support.kernel_has) {
    return absl::FailedPreconditionError(
        "io=uring: this kernel's FUSE has no io_uring; it needs Linux 6.14, or leave the option out");
  }
  return absl::FailedPreconditionError(
      "io=uring: the kernel does not permit it; as root, write Y to /sys/module/fuse/parameters/enable_uring, or leave "
      "the option out");
}

int RunLoop(fuse_session* session, bool uring) {
  // Its own thread reads what does not come through the rings, and waits for the end.
  if (uring) return fuse_session_loop(session);
  SessionSource source(session);
  RequestLoop(&source, RequestLoop::DefaultLimits()).Run();
  return source.error();
}

}  // namespace acetate::fusefs
