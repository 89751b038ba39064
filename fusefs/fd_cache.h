// Bounded caches of open fds: least recently used go first. An fd in use outlives its eviction, since users hold a
// shared reference. Not thread-safe: the owner's lock guards each cache with all its slots.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <utility>

#include "common/unique_fd.h"

namespace acetate::fusefs {

using FdRef = std::shared_ptr<const UniqueFd>;

class FdCache {
 public:
  // A place in the cache, embedded in what the fd belongs to.
  class Slot {
   public:
    Slot() = default;
    ~Slot() {
      if (cache_ != nullptr) cache_->Drop(this);
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    const FdRef& fd() const { return fd_; }

   private:
    friend class FdCache;
    FdCache* cache_ = nullptr;
    FdRef fd_;
    std::list<Slot*>::iterator position_;
  };

  explicit FdCache(size_t capacity) : capacity_(capacity) {}

  // The fd of `slot`, now the most recently used; null when it is not in the cache.
  FdRef Get(Slot* slot) {
    if (slot->fd_ != nullptr) recent_.splice(recent_.begin(), recent_, slot->position_);
    return slot->fd_;
  }

  // Puts `fd` into `slot`, in place of what was there.
  FdRef Put(Slot* slot, UniqueFd fd) {
    Drop(slot);
    while (recent_.size() >= capacity_) Drop(recent_.back());
    slot->fd_ = std::make_shared<const UniqueFd>(std::move(fd));
    slot->cache_ = this;
    recent_.push_front(slot);
    slot->position_ = recent_.begin();
    return slot->fd_;
  }

  void Drop(Slot* slot) {
    if (slot->fd_ == nullptr) return;
    recent_.erase(slot->position_);
    slot->fd_.reset();
  }

  // Gives up the least recently used half: for when the process has run out of fds.
  void Shrink() {
    for (size_t keep = recent_.size() / 2; recent_.size() > keep;) Drop(recent_.back());
  }

  size_t size() const { return recent_.size(); }

 private:
  const size_t capacity_;
  std::list<Slot*> recent_;  // most recent first
};

}  // namespace acetate::fusefs
