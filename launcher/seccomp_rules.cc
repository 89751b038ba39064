#include "launcher/seccomp_rules.h"

#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

absl::StatusOr<SeccompRules> SeccompRules::Make(uint32_t action) {
  void* context = seccomp_init(action);
  if (context == nullptr) return absl::InternalError("libseccomp makes no filter");
  SeccompRules rules(context, action);
  // Found in a few comparisons, however long the list.
  rules.Note(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimise");
  return rules;
}

void SeccompRules::Note(int result, const char* what) {
  if (result >= 0 || !status_.ok()) return;
  status_ = ErrnoToStatus(Errno(-result), absl::StrCat("make a rule for system call ", what));
}

void SeccompRules::AddThirtyTwoBit() {
#if defined(__x86_64__)
  Note(seccomp_arch_add(context_.get(), SCMP_ARCH_X86), "of i386");
#elif defined(__aarch64__)
  Note(seccomp_arch_add(context_.get(), SCMP_ARCH_ARM), "of arm");
#endif
}

void SeccompRules::Add(const char* call, uint32_t action, const std::vector<scmp_arg_cmp>& conditions) {
  const int number = seccomp_syscall_resolve_name(call);
  if (number == __NR_SCMP_ERROR || action == action_) return;
  Note(seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(conditions.size()),
                              conditions.data()),
       call);
}

absl::StatusOr<SeccompProgram> SeccompRules::Compile() {
  if (!status_.ok()) return status_;
  const UniqueFd fd(memfd_create("filter", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoToStatus(Errno::Last(), "memfd_create");
  Note(seccomp_export_bpf(context_.get(), fd.get()), "(the whole filter)");
  if (!status_.ok()) return status_;
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  SeccompProgram program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (pread(fd.get(), program.data(), static_cast<size_t>(size), 0) != size) {
    return ErrnoToStatus(Errno::Last(), "read the filter");
  }
  return program;
}

}  // namespace acetate::launcher
