// An image on disk: what `--image DIR` names. Either DIR is a root directory, which is the one layer; or it holds a
// file `layers.list` and the layers that this file names. Format of layers.list:
//
//   One layer a line, the base first; each following layer lies on top of those before it (the order of diff_ids in an
//   OCI image config, so that adding a layer is appending a line). A line is the path of a directory, relative to DIR,
//   taken as it is: it may hold spaces, colons, commas and backslashes. Empty lines, and lines that begin with '#', say
//   nothing; a directory whose name begins with '#' is written ./#NAME. A layer lies inside DIR: absolute paths, and
//   ".." or symlinks that lead out, are errors. So is a layer that is listed twice, under any name.
//
// An image is only ever read.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

inline constexpr char kLayersFile[] = "layers.list";

struct Image {
  std::string directory;            // absolute, without symlinks
  std::vector<std::string> layers;  // absolute, without symlinks; the topmost first, as fusefs wants them
};

// Reads the image at `directory`. Errors name the directory, or the line of layers.list, and are one line long.
absl::StatusOr<Image> LoadImage(const std::string& directory);

struct LayerLine {
  int number;  // counted from 1
  std::string path;
};

// The lines of a layers.list that name a layer, in the file's order.
std::vector<LayerLine> ParseLayerList(absl::string_view text);

}  // namespace acetate::launcher
