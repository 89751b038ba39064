// Files that the kernel may read and write without asking (--passthrough).
//
// Who has such a file open goes on with the file it was opened as, whatever becomes of the union's object: so it must
// be the one that the object has for good. A lower file is not, where it can be copied up.
#include <unistd.h>

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

ErrnoOr<FdRef> UnionFs::LowerToPassLocked(Inode* inode) {
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DataFdLocked(inode, false));
  if (inode->lower_data == nullptr) return fd;
  // Of a metadata-only copy that was truncated the file below is too long.
  struct stat st;
  if (fstat(fd->get(), &st) != 0) return Errno::Last();
  return st.st_size == inode->lower_data->size ? fd : FdRef();
}

ErrnoOr<FdRef> UnionFs::UpperToPassLocked(Inode* inode, bool write) {
  // What a write does to these depends on whose it is, or where; the kernel would write as the daemon.
  if (ProtectionLocked(inode) != Protection::kNone) return FdRef();
  ACETATE_ASSIGN_OR_RETURN(struct stat st, AttrLocked(inode));
  if ((st.st_mode & (S_ISUID | S_ISGID)) != 0) return FdRef();
  if (write) ACETATE_RETURN_IF_ERROR(CopyUpContentsLocked(inode, kWhole));
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (HomeOf(inode) == nullptr || inode->lower_data != nullptr) return FdRef();
  return DataFdLocked(inode, false);
}

FdRef UnionFs::FileToPass(NodeId node, bool write) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (inode->type != S_IFREG) return nullptr;
  while (inode->copying) copied_.Wait(&mu_);  // it may be moving to another branch
  // By what was asked for: branches can become read-only for a while.
  ErrnoOr<FdRef> fd = options_.can_change() ? UpperToPassLocked(inode, write) : LowerToPassLocked(inode);
  // What is wrong is said when the daemon reads or writes.
  if (!fd.ok() || *fd == nullptr) return nullptr;
  inode->passed = true;
  return *std::move(fd);
}

}  // namespace acetate::fusefs
