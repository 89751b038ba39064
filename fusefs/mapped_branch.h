// A branch that shows other owners than it stores: ids shifted by ranges, or squashed to one (uidmapping, gidmapping,
// squash_to_* of the command line). Around any other branch; thread-safe if that is.
//
// An id without a counterpart is shown as the overflow id (65534), and creating or giving away to one is EOVERFLOW, as
// on an idmapped mount of the kernel. A squashed owner stays what it is shown as: chown reaches the layer where the
// daemon may do it and succeeds in any case. The ids in ACLs are shifted too.
#pragma once

#include <string>
#include <utility>

#include "fusefs/forwarding_branch.h"
#include "fusefs/id_mapping.h"

namespace acetate::fusefs {

class MappedBranch : public ForwardingBranch {
 public:
  MappedBranch(std::unique_ptr<Branch> inner, OwnerRules rules)
      : ForwardingBranch(std::move(inner)), rules_(std::move(rules)) {}

  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override;
  ErrnoOr<struct stat> Stat(int dirfd, const char* name) const override;
  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override;
  Errno MkDir(int dirfd, const char* name, mode_t mode) const override;
  Errno SymLink(const char* target, int dirfd, const char* name) const override;
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override;
  ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const override;
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override;

 private:
  // Whether the caller that something is created for has ids that the layer can store.
  Errno CheckCreator() const;

  const OwnerRules rules_;
};

}  // namespace acetate::fusefs
