#include "fusefs/rename_plan.h"

#include <linux/fs.h>

namespace acetate::fusefs {
namespace {

// Whether a directory has content in lower layers, which would stay behind.
bool HasLowerPart(const RenameSide& side) { return side.is_dir && (side.merged || !side.in_upper); }

ErrnoOr<RenamePlan> PlanExchange(const RenameSide& source, const RenameSide& target, bool redirects) {
  if (!target.exists) return Errno(ENOENT);
  RenamePlan plan;
  plan.redirect_source = HasLowerPart(source);
  plan.redirect_target = HasLowerPart(target);
  if ((plan.redirect_source || plan.redirect_target) && !redirects) return Errno(EXDEV);
  plan.copy_up_source = !source.in_upper;
  plan.copy_up_target = !target.in_upper;
  plan.make_source_opaque = source.is_dir && target.below && !plan.redirect_source;
  plan.make_target_opaque = target.is_dir && source.below && !plan.redirect_target;
  plan.exchange = true;
  return plan;
}

}  // namespace

ErrnoOr<RenamePlan> PlanRename(const RenameSide& source, const RenameSide& target, unsigned flags, bool redirects,
                               bool beside) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Errno(EINVAL);
  if ((flags & RENAME_NOREPLACE) != 0 && (flags & RENAME_EXCHANGE) != 0) return Errno(EINVAL);
  if (!source.exists) return Errno(ENOENT);
  if (target.exists && (flags & RENAME_NOREPLACE) != 0) return Errno(EEXIST);
  RenamePlan plan;
  if (target.exists && target.same_object) {
    plan.nothing_to_do = true;
    return plan;
  }
  if ((flags & RENAME_EXCHANGE) != 0) return PlanExchange(source, target, redirects);

  if (target.exists && source.is_dir && !target.is_dir) return Errno(ENOTDIR);
  if (target.exists && !source.is_dir && target.is_dir) return Errno(EISDIR);
  plan.redirect_source = HasLowerPart(source);
  if (plan.redirect_source && !redirects) return Errno(EXDEV);
  plan.copy_up_source = !source.in_upper;
  plan.check_target_empty = target.exists && target.is_dir;
  plan.clear_target = plan.check_target_empty && target.in_upper;
  plan.make_source_opaque = source.is_dir && target.below && !plan.redirect_source;
  if (beside) {
    plan.leave_whiteout = source.below;
    plan.drop_new_whiteout = target.whiteout;
  } else if (target.whiteout && source.below) {
    // The whiteout is wanted at the old name: the two change places.
    plan.exchange = true;
  } else if (target.whiteout && source.is_dir) {
    plan.exchange = true;
    plan.drop_old_whiteout = true;
  } else {
    plan.leave_whiteout = source.below;
  }
  return plan;
}

}  // namespace acetate::fusefs
