// Writes entries of a layer to disk.
#pragma once

#include <string>
#include <vector>

#include "tests/differential/layers.h"

namespace acetate::differential {

// Makes the entries of `layer` in the existing directory `root`: owners, modes, times and xattrs as given, whiteouts
// and opaque marks in the kernel's format. Needs root. Throws std::runtime_error.
void Materialise(const std::vector<Entry>& entries, int layer, const std::string& root);

}  // namespace acetate::differential
