#include "fusefs/link_index.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

// FS_IOC_GETFSUUID of kernel 6.9.
struct FsUuid {
  uint8_t length;
  uint8_t uuid[16];
};
constexpr unsigned long kGetFsUuid = _IOR(0x15, 0, FsUuid);

// The kernel's struct ovl_fb, all but the handle: version, magic, length, flags, type, uuid of the filesystem.
constexpr char kVersion = 0;
constexpr char kMagic = static_cast<char>(0xfb);
constexpr size_t kHeader = 21;

}  // namespace

ErrnoOr<std::unique_ptr<LinkIndex>> LinkIndex::Open(const Branch* upper, const OverlayXattr* xattrs, int workdir_fd) {
  auto index = std::unique_ptr<LinkIndex>(new LinkIndex(upper, xattrs, workdir_fd));
  Errno opened = index->OpenDirectory();
  if (opened == ENOENT) return index;
  if (!opened.ok()) return opened;
  const int dirfd = index->fd_->get();
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> entries, upper->ReadDir(dirfd));
  for (const RawEntry& entry : entries) {
    ++index->entries_;
    ErrnoOr<struct stat> st = upper->Stat(dirfd, entry.name.c_str());
    if (!st.ok() || S_ISDIR(st->st_mode) || st->st_nlink != 1) continue;
    if (index->ReadExcess(dirfd, entry.name.c_str()) == -1) index->Remove(entry.name).IgnoreError();
  }
  return index;
}

Errno LinkIndex::OpenDirectory() {
  upper_->Chmod(workdir_fd_, kDirectory, 0700).IgnoreError();  // the kernel makes it with mode 0
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, upper_->Open(workdir_fd_, kDirectory, O_PATH | O_DIRECTORY));
  fd_ = std::make_shared<const UniqueFd>(std::move(fd));
  return kOk;
}

const std::string& LinkIndex::UuidOf(const Branch& branch) {
  auto [known, added] = uuids_.try_emplace(&branch);
  if (!added) return known->second;
  FsUuid answer = {};
  ErrnoOr<UniqueFd> root = branch.Open(branch.root_fd(), ".", O_RDONLY | O_DIRECTORY);
  // Unknown, it is zero: the entries are good for us, and no use to the kernel.
  if (!root.ok() || ioctl(root->get(), kGetFsUuid, &answer) != 0) answer = {};
  known->second.assign(reinterpret_cast<const char*>(answer.uuid), sizeof(answer.uuid));
  return known->second;
}

ErrnoOr<std::string> LinkIndex::OriginOf(const Branch& branch, int dirfd, const char* name) {
  ACETATE_ASSIGN_OR_RETURN(sys::FileHandle handle, sys::NameToHandleAt(dirfd, name));
  std::string origin = {kVersion, kMagic, static_cast<char>(kHeader + handle.bytes.size()), 0,
                        static_cast<char>(handle.type)};
  origin += UuidOf(branch);
  return origin + handle.bytes;
}

std::string LinkIndex::NameOf(absl::string_view origin) { return absl::BytesToHexString(origin); }

Errno LinkIndex::Add(int dirfd, const std::string& temp, const std::string& name) {
  if (fd_ == nullptr) {
    Errno made = upper_->MkDir(workdir_fd_, kDirectory, 0700);
    if (!made.ok() && !(made == EEXIST)) return made;
    ACETATE_RETURN_IF_ERROR(OpenDirectory());
  }
  ACETATE_RETURN_IF_ERROR(upper_->Rename(dirfd, temp.c_str(), fd_->get(), name.c_str(), 0));
  ++entries_;
  return kOk;
}

Errno LinkIndex::Remove(const std::string& name) {
  ACETATE_RETURN_IF_ERROR(upper_->Unlink(fd_->get(), name.c_str()));
  --entries_;
  return kOk;
}

int64_t LinkIndex::ReadExcess(int dirfd, const char* name) const {
  ErrnoOr<std::string> value = OverlayXattr::Get(*upper_, dirfd, name, xattrs_->nlink());
  int64_t excess;
  // "U-1": counted from the upper object's links. The kernel's "L+0", from the lower one's, is what it writes before
  // there is an upper object.
  if (!value.ok() || value->size() < 2 || (*value)[0] != 'U') return 0;
  return absl::SimpleAtoi(value->substr(1), &excess) ? excess : 0;
}

Errno LinkIndex::WriteExcess(int dirfd, const char* name, int64_t excess) const {
  const std::string value = absl::StrFormat("U%+d", excess);
  return upper_->SetXattr(dirfd, name, xattrs_->nlink().c_str(), value.data(), value.size(), 0);
}

}  // namespace acetate::fusefs
