#include "launcher/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "common/unique_fd.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

// No list that a person or a tool writes comes near; a device or a log given by mistake does.
constexpr size_t kLargestList = 1 << 20;

// Whether the calling user may list and enter the directory.
Errno CheckReadable(const UniqueFd& fd) {
  if (faccessat(fd.get(), "", R_OK | X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) return Errno::Last();
  return kOk;
}

absl::StatusOr<UniqueFd> OpenLayer(const UniqueFd& image, const LayerLine& line, absl::string_view where) {
  if (line.path[0] == '/') {
    return absl::InvalidArgumentError(absl::StrCat(where, "must be relative to the image, and lie inside it"));
  }
  ErrnoOr<UniqueFd> fd =
      OpenInside(image.get(), line.path.c_str(), O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (!fd.ok()) {
    if (fd.error() == EXDEV) return absl::InvalidArgumentError(absl::StrCat(where, "leads out of the image"));
    if (fd.error() == ENOENT) return absl::NotFoundError(absl::StrCat(where, "does not exist"));
    if (fd.error() == ENOTDIR) return absl::InvalidArgumentError(absl::StrCat(where, "is not a directory"));
    return ErrnoToStatus(fd.error(), absl::StrCat(where, "cannot be opened"));
  }
  if (Errno e = CheckReadable(*fd); !e.ok()) return ErrnoToStatus(e, absl::StrCat(where, "cannot be read"));
  return *std::move(fd);
}

absl::StatusOr<std::vector<std::string>> LoadLayers(const UniqueFd& image, absl::string_view text,
                                                    absl::string_view list_path) {
  std::vector<std::string> layers;
  std::map<std::pair<dev_t, ino_t>, int> lines_by_inode;
  for (const LayerLine& line : ParseLayerList(text)) {
    std::string where = absl::StrCat(list_path, ":", line.number, ": layer \"", absl::CHexEscape(line.path), "\" ");
    absl::StatusOr<UniqueFd> fd = OpenLayer(image, line, where);
    if (!fd.ok()) return fd.status();
    struct stat st;
    if (fstat(fd->get(), &st) != 0) return ErrnoToStatus(Errno::Last(), absl::StrCat(where, "cannot be examined"));
    auto [known, is_new] = lines_by_inode.emplace(std::make_pair(st.st_dev, st.st_ino), line.number);
    if (!is_new) {
      return absl::InvalidArgumentError(absl::StrCat(where, "is the same directory as that of line ", known->second));
    }
    absl::StatusOr<std::string> path = PathOf(*fd);
    if (!path.ok()) return path.status();
    layers.push_back(*std::move(path));
  }
  if (layers.empty()) return absl::InvalidArgumentError(absl::StrCat(list_path, " names no layer"));
  std::reverse(layers.begin(), layers.end());
  return layers;
}

}  // namespace

std::vector<LayerLine> ParseLayerList(absl::string_view text) {
  std::vector<LayerLine> lines;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (!line.empty() && line[0] != '#') lines.push_back({number, std::string(line)});
  }
  return lines;
}

absl::StatusOr<Image> LoadImage(const std::string& directory) {
  std::string shown = absl::StrCat("image ", absl::CHexEscape(directory));
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, directory.c_str(), O_PATH | O_DIRECTORY);
  if (!fd.ok() && fd.error() == ENOTDIR) return absl::InvalidArgumentError(absl::StrCat(shown, " is not a directory"));
  if (!fd.ok()) return ErrnoToStatus(fd.error(), shown);
  if (Errno e = CheckReadable(*fd); !e.ok()) return ErrnoToStatus(e, absl::StrCat(shown, " cannot be read"));

  Image image;
  absl::StatusOr<std::string> path = PathOf(*fd);
  if (!path.ok()) return path.status();
  image.directory = *std::move(path);

  std::string list_path = absl::StrCat(absl::CHexEscape(image.directory), "/", kLayersFile);
  ErrnoOr<std::string> list = ReadFileAt(fd->get(), kLayersFile, kLargestList);
  if (!list.ok() && list.error() == ENOENT) {
    image.layers.push_back(image.directory);
    return image;
  }
  if (!list.ok()) return ErrnoToStatus(list.error(), absl::StrCat("read ", list_path));
  absl::StatusOr<std::vector<std::string>> layers = LoadLayers(*fd, *list, list_path);
  if (!layers.ok()) return layers.status();
  image.layers = *std::move(layers);
  return image;
}

}  // namespace acetate::launcher
