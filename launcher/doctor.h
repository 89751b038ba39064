// Whether containers can run here, and how to get what is missing: each thing that launch needs is tried, and judged
// with the exact cure. Looking (ReadDoctorView) and judging (Diagnose, pure) are apart.
#pragma once

#include <string>
#include <vector>

#include "launcher/cgroup_plan.h"
#include "launcher/identity.h"

namespace acetate::launcher {

struct DoctorView {
  int user_namespace_error = 0;     // errno of making one and being root in it
  std::string user_namespace_hint;  // UserNamespaceHint()
  IdentitySources identity;
  bool mappers_privileged = false;  // newuidmap and newgidmap are set-uid or have capabilities
  int fuse_error = 0;               // errno of opening /dev/fuse
  int tun_error = 0;                // errno of opening /dev/net/tun
  std::string fusefs;               // its path; empty when it is not found
  int landlock = 0;                 // sys::LandlockVersion()
  CgroupView cgroups;
  SystemdQuestions systemd = {[](absl::string_view) { return absl::UnavailableError("systemd was not asked"); },
                              [](absl::string_view) { return false; }};
};

struct Finding {
  enum class Verdict {
    kGood,
    kLimited,  // containers run, with less
    kBad,      // none runs
  };
  std::string subject;  // "user namespaces"
  Verdict verdict = Verdict::kGood;
  std::string detail;
  std::string cure;  // what to do; empty when there is nothing to do
};

DoctorView ReadDoctorView();

std::vector<Finding> Diagnose(const DoctorView& view);

}  // namespace acetate::launcher
