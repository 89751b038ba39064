// Rules for system calls on their way to a program: libseccomp's filter, with its errors kept until the end.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/seccomp_filter.h"

namespace acetate::launcher {

class SeccompRules {
 public:
  // `action`, one of SCMP_ACT_*, is what becomes of calls that no rule is about.
  static absl::StatusOr<SeccompRules> Make(uint32_t action);

  // The rules are for 32-bit programs, too, where the machine runs such. Before the first rule.
  void AddThirtyTwoBit();
  // A call that libseccomp does not know is passed over. Every one of `conditions` has to hold, each about another
  // argument.
  void Add(const char* call, uint32_t action, const std::vector<scmp_arg_cmp>& conditions);

  absl::StatusOr<SeccompProgram> Compile();

 private:
  struct Release {
    void operator()(void* context) const { seccomp_release(context); }
  };

  SeccompRules(void* context, uint32_t action) : context_(context), action_(action) {}
  void Note(int result, const char* what);

  std::unique_ptr<void, Release> context_;
  uint32_t action_;
  absl::Status status_;  // the first error
};

}  // namespace acetate::launcher
