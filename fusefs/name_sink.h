// For tests: the names of a listing, without "." and "..".
#pragma once

#include <string>
#include <vector>

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

class NameSink : public DirSink {
 public:
  bool Fits(absl::string_view) override { return true; }
  void Add(const std::string& name, uint64_t, uint64_t, mode_t, const Entry*) override {
    if (name != "." && name != "..") names.push_back(name);
  }
  std::vector<std::string> names;
};

}  // namespace acetate::fusefs
