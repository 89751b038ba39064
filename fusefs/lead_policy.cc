#include "fusefs/lead_policy.h"

#include <algorithm>

namespace acetate::fusefs {
namespace {

// Too few say nothing.
constexpr uint64_t kEnoughRequests = 16;
// So many are worth following for though others compute.
constexpr uint64_t kManyRequests = 32;
// Moments that an average goes back, and how much of a CPU must usually be free.
constexpr double kUsually = 16;
constexpr double kRoom = 0.25;

}  // namespace

// Nobody is followed for a while.
void LeadPolicy::Pause(const Moment& moment) {
  if (moment.now_ms - following_since_ms_ >= kForgiven) pause_ms_ = kShortestPause;
  follow_from_ms_ = moment.now_ms + pause_ms_;
  pause_ms_ = std::min(2 * pause_ms_, kLongestPause);
}

Lead LeadPolicy::Next(const Moment& moment) {
  busy_ = moment.runnable > cpus_ ? busy_ + 1 : 0;
  // A peak is one peak, however high.
  usually_runnable_ += (std::min(moment.runnable, cpus_ + 1) - usually_runnable_) / kUsually;
  if (moment.requests >= kEnoughRequests) {
    const bool crowded = moment.switches * 8 >= moment.requests;
    crowded_ = crowded ? crowded_ + 1 : 0;
    bulk_ = moment.bulk * 2 >= moment.requests;
    lonely_ = crowded ? 0 : lonely_ + 1;
  }
  // What a few requests gain is lost a hundredfold when one of them meets a CPU that others use.
  if (moment.requests >= kManyRequests || moment.runnable == 0) {
    sparse_ = false;
  } else if (moment.requests < kEnoughRequests && 2 * moment.runnable >= cpus_) {
    sparse_ = true;
  }
  const bool several = several_ ? lonely_ < kLonelyMoments : crowded_ >= kCrowdedMoments;
  bool follows = Follows(lead_);
  if (follows) {
    if (moment.stuck || moment.starved || moment.blind) {
      Pause(moment);
      follows = false;
    }
  } else if (moment.now_ms >= follow_from_ms_) {
    following_since_ms_ = moment.now_ms;
    follows = true;
  }
  if (busy_ >= kBusyMoments || usually_runnable_ > cpus_ - kRoom || moment.background) {
    follow_from_ms_ = std::max(follow_from_ms_, moment.now_ms + kShortestPause);
    follows = false;
  }
  several_ = several;
  lead_ = !follows || bulk_ || sparse_ ? Lead::kSeveral : several ? Lead::kFollowEach : Lead::kFollow;
  return lead_;
}

}  // namespace acetate::fusefs
