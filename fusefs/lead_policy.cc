#include "fusefs/lead_policy.h"

#include <algorithm>

namespace acetate::fusefs {
namespace {

// Too few say nothing.
constexpr uint64_t kEnoughRequests = 16;

}  // namespace

// Not followed any more, for a while.
Lead LeadPolicy::Leave(Lead to, const Moment& moment) {
  if (moment.now_ms - following_since_ms_ >= kForgiven) pause_ms_ = kShortestPause;
  follow_from_ms_ = moment.now_ms + pause_ms_;
  pause_ms_ = std::min(2 * pause_ms_, kLongestPause);
  return to;
}

Lead LeadPolicy::Next(const Moment& moment) {
  busy_ = moment.runnable > cpus_ ? busy_ + 1 : 0;
  if (moment.requests >= kEnoughRequests) {
    const bool crowded = moment.switches * 8 >= moment.requests;
    crowded_ = crowded ? crowded_ + 1 : 0;
    lonely_ = crowded ? 0 : lonely_ + 1;
  }
  switch (lead_) {
    case Lead::kFollow:
      if (crowded_ >= kCrowdedMoments) {
        lead_ = Lead::kSeveral;
      } else if (moment.blind) {
        lead_ = Leave(Lead::kSeveral, moment);
      } else if (moment.stuck || moment.starved || busy_ >= kBusyMoments) {
        lead_ = Leave(Lead::kAlone, moment);
      }
      break;
    case Lead::kAlone:
      if (busy_ > 0) follow_from_ms_ = std::max(follow_from_ms_, moment.now_ms + kShortestPause);
      if (crowded_ >= kCrowdedMoments) {
        lead_ = Lead::kSeveral;
      } else if (moment.now_ms >= follow_from_ms_) {
        lead_ = Lead::kFollow;
        following_since_ms_ = moment.now_ms;
      }
      break;
    case Lead::kSeveral:
      if (lonely_ < kLonelyMoments || moment.now_ms < follow_from_ms_) break;
      if (busy_ > 0) {
        lead_ = Lead::kAlone;
      } else {
        lead_ = Lead::kFollow;
        following_since_ms_ = moment.now_ms;
      }
      break;
  }
  return lead_;
}

}  // namespace acetate::fusefs
