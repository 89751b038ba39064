// Docker's profiles (the format of moby's profiles/seccomp, which Podman's containers-common shares).
#include <sys/utsname.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "launcher/capabilities.h"
#include "launcher/seccomp_filter.h"
#include "launcher/seccomp_rules.h"

namespace acetate::launcher {
namespace {

using nlohmann::json;

#if defined(__x86_64__)
constexpr char kMachine[] = "amd64";
constexpr char kArchitecture[] = "SCMP_ARCH_X86_64";
constexpr char kThirtyTwoBit[] = "SCMP_ARCH_X86";
#elif defined(__aarch64__)
constexpr char kMachine[] = "arm64";
constexpr char kArchitecture[] = "SCMP_ARCH_AARCH64";
constexpr char kThirtyTwoBit[] = "SCMP_ARCH_ARM";
#endif

absl::StatusOr<uint32_t> ActionOf(const std::string& name, uint32_t error) {
  if (name == "SCMP_ACT_ALLOW") return uint32_t{SCMP_ACT_ALLOW};
  if (name == "SCMP_ACT_ERRNO") return uint32_t{SCMP_ACT_ERRNO(error)};
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return uint32_t{SCMP_ACT_KILL_THREAD};
  if (name == "SCMP_ACT_KILL_PROCESS") return uint32_t{SCMP_ACT_KILL_PROCESS};
  if (name == "SCMP_ACT_TRAP") return uint32_t{SCMP_ACT_TRAP};
  if (name == "SCMP_ACT_TRACE") return uint32_t{SCMP_ACT_TRACE(error)};
  if (name == "SCMP_ACT_LOG") return uint32_t{SCMP_ACT_LOG};
  return absl::InvalidArgumentError(absl::StrCat("knows no action ", name));
}

absl::StatusOr<scmp_arg_cmp> ConditionOf(const json& argument) {
  static const std::map<std::string, scmp_compare> operators = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  const auto found = operators.find(argument.at("op").get<std::string>());
  if (found == operators.end()) return absl::InvalidArgumentError(absl::StrCat("knows no ", argument.at("op").dump()));
  const unsigned index = argument.at("index");
  if (index > 5) return absl::InvalidArgumentError(absl::StrCat("names argument ", index, ", of which there are 6"));
  return scmp_arg_cmp{index, found->second, argument.at("value").get<uint64_t>(),
                      argument.value("valueTwo", uint64_t{0})};
}

// Whether the kernel is at least "MAJOR.MINOR".
bool IsKernelFrom(const std::string& version) {
  utsname names;
  unsigned major = 0, minor = 0, wanted_major = 0, wanted_minor = 0;
  if (uname(&names) != 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2) return false;
  if (sscanf(version.c_str(), "%u.%u", &wanted_major, &wanted_minor) != 2) return false;
  return major != wanted_major ? major > wanted_major : minor >= wanted_minor;
}

bool Holds(uint64_t capabilities, const json& name) {
  const absl::StatusOr<uint64_t> capability = ParseCapability(name.get<std::string>());
  return capability.ok() && (capabilities & *capability) != 0;
}

bool Applies(const json& rule, uint64_t capabilities) {
  const json includes = rule.value("includes", json::object());
  const json excludes = rule.value("excludes", json::object());
  const json none = json::array();
  for (const json& capability : includes.value("caps", none)) {
    if (!Holds(capabilities, capability)) return false;
  }
  for (const json& capability : excludes.value("caps", none)) {
    if (Holds(capabilities, capability)) return false;
  }
  const json machines = includes.value("arches", none);
  if (!machines.empty() && std::find(machines.begin(), machines.end(), json(kMachine)) == machines.end()) return false;
  for (const json& machine : excludes.value("arches", none)) {
    if (machine == kMachine) return false;
  }
  const std::string from = includes.value("minKernel", "");
  const std::string until = excludes.value("minKernel", "");
  return (from.empty() || IsKernelFrom(from)) && (until.empty() || !IsKernelFrom(until));
}

absl::Status AddRule(const json& rule, uint32_t default_error, SeccompRules* rules) {
  absl::StatusOr<uint32_t> action = ActionOf(rule.at("action"), rule.value("errnoRet", default_error));
  if (!action.ok()) return action.status();
  std::vector<scmp_arg_cmp> conditions;
  std::set<unsigned> indexes;
  for (const json& argument : rule.value("args", json::array())) {
    absl::StatusOr<scmp_arg_cmp> condition = ConditionOf(argument);
    if (!condition.ok()) return condition.status();
    conditions.push_back(*condition);
    indexes.insert(condition->arg);
  }
  std::vector<std::string> names = rule.value("names", std::vector<std::string>());
  if (rule.contains("name")) names.push_back(rule.at("name"));
  for (const std::string& name : names) {
    if (indexes.size() == conditions.size()) {
      rules->Add(name.c_str(), *action, conditions);
      continue;
    }
    // Several about one argument: any of them will do, as runc has it.
    for (const scmp_arg_cmp& condition : conditions) rules->Add(name.c_str(), *action, {condition});
  }
  return absl::OkStatus();
}

bool IsForThirtyTwoBit(const json& profile) {
  for (const json& name : profile.value("architectures", json::array())) {
    if (name == kThirtyTwoBit) return true;
  }
  for (const json& entry : profile.value("archMap", json::array())) {
    if (entry.at("architecture") != kArchitecture) continue;
    for (const json& name : entry.value("subArchitectures", json::array())) {
      if (name == kThirtyTwoBit) return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<SeccompProgram>> SeccompFilterOf(absl::string_view text, uint64_t capabilities) {
  // The library's typed access reports what is missing or of another type by exceptions.
  try {
    const json profile = json::parse(text.begin(), text.end());
    const uint32_t default_error = profile.value("defaultErrnoRet", uint32_t{EPERM});
    absl::StatusOr<uint32_t> action = ActionOf(profile.at("defaultAction"), default_error);
    if (!action.ok()) return action.status();
    absl::StatusOr<SeccompRules> rules = SeccompRules::Make(*action);
    if (!rules.ok()) return rules.status();
    if (IsForThirtyTwoBit(profile)) rules->AddThirtyTwoBit();
    for (const json& rule : profile.value("syscalls", json::array())) {
      if (!Applies(rule, capabilities)) continue;
      if (absl::Status s = AddRule(rule, EPERM, &*rules); !s.ok()) return s;
    }
    absl::StatusOr<SeccompProgram> program = rules->Compile();
    if (!program.ok()) return program.status();
    return std::vector<SeccompProgram>{*std::move(program)};
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("is no profile: ", error.what()));
  }
}

}  // namespace acetate::launcher
