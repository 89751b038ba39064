// Decides whether three outcomes of one operation are the same, and says in one line where they are not. The known
// differences, each with its reason, are here and nowhere else; docs/semantics.md lists them for users.
#pragma once

#include <optional>
#include <string>

#include "tests/differential/op.h"

namespace acetate::differential {

struct Outcomes {
  std::string kernel;
  std::string subject;  // of the union under test
  std::string plain;    // "" when the operation was not done there
};

struct Verdict {
  std::string what;       // one line: where they differ, and who says what
  std::string signature;  // equal for differences that are probably one bug
};

// What unions refuse, or name otherwise, by their nature: then it must not happen on the plain directory either.
// `kernel` is what the kernel's overlayfs answered.
bool OnlyForUnions(const Op& op, const std::string& kernel);

// What this union does not offer, and says so: then it is not done on the others.
bool NotOffered(const Op& op, const std::string& subject);

// What the kernel's overlayfs is not asked to do, from what the plain directory answered: a file of a lower layer that
// was unlinked while open has one link for fstat there, and fails to be copied up when it is changed.
bool KernelCannot(const std::string& plain);

// The outcome of an operation on the kernel's overlayfs without what is known to be wrong there.
std::string ForgiveKernel(const Op& op, std::string text);

// For people: "nnnnnnnnnnnnnnnnnnnnnnnn" becomes "n*24".
std::string Abbreviate(const std::string& text);

std::optional<Verdict> Judge(const Op& op, const Outcomes& outcomes, const std::string& subject_name);

}  // namespace acetate::differential
