#include "fusefs/dir_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {
namespace {

constexpr uint32_t kNames = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

}  // namespace

ErrnoOr<std::unique_ptr<DirWatch>> DirWatch::Start() {
  UniqueFd queue(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!queue.valid()) return Errno::Last();
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return Errno::Last();
  return std::unique_ptr<DirWatch>(new DirWatch(std::move(queue), std::move(stop)));
}

ErrnoOr<int> DirWatch::Add(int dirfd, bool writes) {
  const uint32_t mask = kNames | IN_ATTRIB | IN_CLOSE_WRITE | IN_ONLYDIR | (writes ? IN_MODIFY : 0);
  const int watch = inotify_add_watch(queue_.get(), absl::StrCat("/proc/self/fd/", dirfd).c_str(), mask);
  if (watch < 0) return Errno::Last();
  return watch;
}

void DirWatch::Remove(int watch) { inotify_rm_watch(queue_.get(), watch); }

std::vector<DirWatch::Event> DirWatch::Wait() {
  std::vector<Event> events;
  pollfd fds[2] = {{queue_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (events.empty()) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return {};
    if (fds[1].revents != 0) return {};
    alignas(inotify_event) char buffer[16384];
    const ssize_t length = read(queue_.get(), buffer, sizeof(buffer));
    for (ssize_t at = 0; at < length;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        events.push_back({});
      } else if (event->len > 0) {
        events.push_back(
            {event->wd, event->name, (event->mask & kNames) != 0, (event->mask & (IN_MODIFY | IN_CLOSE_WRITE)) != 0});
      }
    }
  }
  return events;
}

void DirWatch::Stop() { eventfd_write(stop_.get(), 1); }

}  // namespace acetate::fusefs
