// A directory for one test, removed with all that is in it when the test ends.
#pragma once

#include <string>

namespace acetate {

class TempDir {
 public:
  // Under $TEST_TMPDIR, else /tmp. Dies when the directory cannot be made: no test can go on without it.
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Whole-file helpers for tests; they throw std::runtime_error, which fails the test.
void WriteFile(const std::string& path, const std::string& contents, unsigned mode = 0644);
std::string ReadFile(const std::string& path);
// Makes `path` and its parents, mode 0755.
void MakeDirs(const std::string& path);

}  // namespace acetate
