// Strings as execve(2) takes them.
#pragma once

#include <string>
#include <vector>

namespace acetate::launcher {

// Pointers to the words, and a null. They live as long as the words stay as they are; execve does not write to them,
// whatever its type says.
inline std::vector<char*> ArgumentPointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace acetate::launcher
