#include "fusefs/origin.h"

namespace acetate::fusefs {
namespace {

constexpr int kBytes = 8;

void Append(uint64_t number, std::string* value) {
  for (int i = 0; i < kBytes; ++i) value->push_back(static_cast<char>(number >> (8 * i)));
}

uint64_t Number(absl::string_view bytes) {
  uint64_t number = 0;
  for (int i = 0; i < kBytes; ++i)
    number |= uint64_t{static_cast<unsigned char>(bytes[static_cast<size_t>(i)])} << (8 * i);
  return number;
}

}  // namespace

std::string Origin::Encode() const {
  std::string value;
  Append(ino, &value);
  Append(layer, &value);
  return value;
}

ErrnoOr<Origin> Origin::Parse(absl::string_view value) {
  if (value.size() != 2 * kBytes) return Errno(EIO);
  return Origin{Number(value.substr(0, kBytes)), Number(value.substr(kBytes))};
}

ErrnoOr<uint64_t> LayerId(const Branch& branch) {
  ACETATE_ASSIGN_OR_RETURN(struct stat root, branch.Stat(branch.root_fd(), ""));
  ACETATE_ASSIGN_OR_RETURN(struct statvfs fs, branch.StatFs(branch.root_fd()));
  // FNV-1a over both numbers.
  uint64_t id = 0xcbf29ce484222325;
  for (uint64_t number : {uint64_t{fs.f_fsid}, uint64_t{root.st_ino}}) {
    for (int i = 0; i < kBytes; ++i) id = (id ^ ((number >> (8 * i)) & 0xff)) * 0x100000001b3;
  }
  return id;
}

}  // namespace acetate::fusefs
