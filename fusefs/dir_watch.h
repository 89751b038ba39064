// Being told of what happens in directories (inotify): a queue of events, read by one thread, and watches, set by any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

class DirWatch {
 public:
  struct Event {
    int watch = -1;             // -1: events were lost
    std::string name;           // of the entry
    bool name_changed = false;  // it came, went or was replaced
    bool contents_changed = false;
  };

  static ErrnoOr<std::unique_ptr<DirWatch>> Start();

  // Watches the directory `dirfd` (O_PATH will do); the same one again has the same number. `writes`: every write to a
  // file in it is told, not only that somebody who wrote has closed it. ENOSPC when the user has too many watches.
  ErrnoOr<int> Add(int dirfd, bool writes);
  void Remove(int watch);

  // Waits for events. Empty once Stop() was called.
  std::vector<Event> Wait();
  void Stop();

 private:
  DirWatch(UniqueFd queue, UniqueFd stop) : queue_(std::move(queue)), stop_(std::move(stop)) {}

  const UniqueFd queue_;
  const UniqueFd stop_;  // an eventfd
};

}  // namespace acetate::fusefs
