#include "fusefs/placement.h"

#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

using Ids = std::vector<BranchId>;

// Branches 0 to 3 from the top. Of them 2 and 3 hold the parent, whose topmost layer is below 0 and 1.
std::vector<Candidate> Four() { return {{0, false, 10}, {1, false, 40}, {2, true, 20}, {3, true, 30}}; }
constexpr size_t kNearest = 2;

TEST(PlacementTest, FirstIsTheTopmost) {
  EXPECT_EQ(OrderForCreate(CreatePolicy::kFirst, Four(), kNearest, 7), (Ids{0, 1, 2, 3}));
}

TEST(PlacementTest, ParentGoesToWhereTheDirectoryIs) {
  EXPECT_EQ(OrderForCreate(CreatePolicy::kParent, Four(), kNearest, 7), (Ids{2, 3, 0, 1}));
}

TEST(PlacementTest, ParentGoesToTheNearestAboveADirectoryThatIsNowhereWritable) {
  std::vector<Candidate> candidates = Four();
  for (Candidate& candidate : candidates) candidate.holds_parent = false;
  EXPECT_EQ(OrderForCreate(CreatePolicy::kParent, candidates, kNearest, 7), (Ids{1, 0, 2, 3}));
}

TEST(PlacementTest, FreeSpaceDecides) {
  EXPECT_EQ(OrderForCreate(CreatePolicy::kMostFreeSpace, Four(), kNearest, 7), (Ids{1, 3, 2, 0}));
  EXPECT_EQ(OrderForCreate(CreatePolicy::kParentMostFreeSpace, Four(), kNearest, 7), (Ids{3, 2, 1, 0}));
}

TEST(PlacementTest, RoundRobinStartsOneFurtherEachTime) {
  EXPECT_EQ(OrderForCreate(CreatePolicy::kRoundRobin, Four(), kNearest, 0), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(OrderForCreate(CreatePolicy::kRoundRobin, Four(), kNearest, 5), (Ids{1, 2, 3, 0}));
}

TEST(PlacementTest, CopiesGoUpAsTheyAreTold) {
  const std::vector<Candidate> above = {{0, true}, {1, true}, {2, false}};
  EXPECT_EQ(OrderForCopyUp(CopyUpPolicy::kTopDownParent, above), (Ids{0, 1, 2}));
  EXPECT_EQ(OrderForCopyUp(CopyUpPolicy::kBottomUpParent, above), (Ids{1, 0, 2}));
  EXPECT_EQ(OrderForCopyUp(CopyUpPolicy::kBottomUp, above), (Ids{2, 1, 0}));
}

TEST(PlacementTest, NothingIsNowhere) {
  for (CreatePolicy policy : {CreatePolicy::kFirst, CreatePolicy::kParent, CreatePolicy::kMostFreeSpace,
                              CreatePolicy::kRoundRobin, CreatePolicy::kParentMostFreeSpace}) {
    EXPECT_EQ(OrderForCreate(policy, {}, 0, 3), Ids());
  }
}

}  // namespace
}  // namespace acetate::fusefs
