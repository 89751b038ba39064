#include "fusefs/writable_branch.h"

#include <fcntl.h>
#include <sys/vfs.h>

#include <utility>

namespace acetate::fusefs {

ErrnoOr<std::unique_ptr<WritableBranch>> WritableBranch::Open(const Branch* branch, UniqueFd workdir_fd,
                                                              const OverlayXattr* xattrs, const Options& options) {
  auto writable = std::make_unique<WritableBranch>();
  writable->branch = branch;
  writable->workdir_fd = std::move(workdir_fd);
  struct statfs filesystem;
  writable->tells_holes = fstatfs(branch->root_fd(), &filesystem) == 0 && LazyFile::TellsHoles(filesystem.f_type);
  ACETATE_ASSIGN_OR_RETURN(writable->work, WorkDir::Open(branch, writable->workdir_fd.get()));
  writable->work_layer = std::make_shared<LayerDir>();
  writable->work_layer->branch = branch;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd work, branch->Open(writable->work_fd(), ".", O_PATH | O_DIRECTORY, 0));
  writable->work_layer->pinned = std::make_shared<const UniqueFd>(std::move(work));
  if (options.index) {
    ACETATE_ASSIGN_OR_RETURN(writable->index, LinkIndex::Open(branch, xattrs, writable->workdir_fd.get()));
  }
  writable->whiteouts = std::make_unique<WhiteoutWriter>(branch, xattrs, writable->work_fd(), options.write_whiteouts);
  return writable;
}

}  // namespace acetate::fusefs
