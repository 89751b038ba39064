#include "fusefs/fd_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

UniqueFd AnyFd() { return UniqueFd(open("/", O_PATH | O_CLOEXEC)); }

TEST(FdCacheTest, LeastRecentlyUsedGoesFirst) {
  FdCache cache(2);
  FdCache::Slot a, b, c;
  cache.Put(&a, AnyFd());
  cache.Put(&b, AnyFd());
  ASSERT_NE(cache.Get(&a), nullptr);
  cache.Put(&c, AnyFd());
  EXPECT_EQ(cache.Get(&b), nullptr);
  EXPECT_NE(cache.Get(&a), nullptr);
  EXPECT_NE(cache.Get(&c), nullptr);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(FdCacheTest, FdInUseOutlivesItsEviction) {
  FdCache cache(1);
  FdCache::Slot a, b;
  FdRef held = cache.Put(&a, AnyFd());
  cache.Put(&b, AnyFd());
  EXPECT_EQ(cache.Get(&a), nullptr);
  EXPECT_GE(fcntl(held->get(), F_GETFD), 0);
}

TEST(FdCacheTest, SlotLeavesTheCacheWhenDestroyed) {
  FdCache cache(2);
  {
    FdCache::Slot a;
    cache.Put(&a, AnyFd());
  }
  EXPECT_EQ(cache.size(), 0u);
}

TEST(FdCacheTest, ShrinkGivesUpHalf) {
  FdCache cache(4);
  FdCache::Slot slots[4];
  for (FdCache::Slot& slot : slots) cache.Put(&slot, AnyFd());
  cache.Shrink();
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.Get(&slots[0]), nullptr);
  EXPECT_NE(cache.Get(&slots[3]), nullptr);
}

}  // namespace
}  // namespace acetate::fusefs
