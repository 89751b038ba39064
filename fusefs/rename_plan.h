// What a rename has to do, decided from what the union holds at both names. Pure: values in, a plan out; ops_rename.cc
// carries it out in the order of the fields.
//
// The rules are those of the kernel's ovl_rename().
#pragma once

#include "common/errno_or.h"

namespace acetate::fusefs {

// What there is at one of the two names, seen from the branch in which the rename is done.
struct RenameSide {
  bool exists = false;    // the union shows an object
  bool whiteout = false;  // the branch holds a whiteout
  bool is_dir = false;
  bool in_upper = false;     // the object, or its top, is in the branch
  bool merged = false;       // a directory that several layers make up
  bool below = false;        // a lower layer would show through here
  bool same_object = false;  // of the target: it is the same inode as the source
};

struct RenamePlan {
  bool nothing_to_do = false;  // two names of one object: POSIX wants both kept
  bool copy_up_source = false;
  bool copy_up_target = false;      // of an exchange
  bool check_target_empty = false;  // a directory is replaced: ENOTEMPTY unless it shows nothing
  bool redirect_source = false;     // it is a directory, and what lower layers hold of it must come along
  bool redirect_target = false;     // of an exchange
  bool make_source_opaque = false;  // it is a directory that comes to lie over something
  bool make_target_opaque = false;  // of an exchange
  bool clear_target = false;        // its upper directory must hold nothing, whiteouts included
  bool exchange = false;            // RENAME_EXCHANGE rather than a plain rename
  bool leave_whiteout = false;      // at the old name
  bool drop_old_whiteout = false;   // after the exchange a whiteout that nobody needs is at the old name
  bool drop_new_whiteout = false;   // after the rename one that nobody needs is beside the new name
};

// `flags`: 0, RENAME_NOREPLACE or RENAME_EXCHANGE. Without `redirects`, a directory that lower layers have a part in is
// EXDEV, and callers like mv then copy. `beside`: the branch's whiteouts are beside what they hide.
ErrnoOr<RenamePlan> PlanRename(const RenameSide& source, const RenameSide& target, unsigned flags, bool redirects,
                               bool beside = false);

}  // namespace acetate::fusefs
