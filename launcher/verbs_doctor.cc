// doctor.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "launcher/doctor.h"
#include "launcher/files.h"
#include "launcher/program.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

const char* VerdictName(Finding::Verdict verdict) {
  switch (verdict) {
    case Finding::Verdict::kGood:
      return "good";
    case Finding::Verdict::kLimited:
      return "limited";
    case Finding::Verdict::kBad:
      return "bad";
  }
  return "";
}

std::string AsJson(const std::vector<Finding>& findings) {
  using Json = nlohmann::ordered_json;
  Json array = Json::array();
  for (const Finding& finding : findings) {
    array.push_back(Json{{"subject", finding.subject},
                         {"verdict", VerdictName(finding.verdict)},
                         {"detail", finding.detail},
                         {"cure", finding.cure}});
  }
  return array.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string AsText(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    absl::StrAppendFormat(&text, "%-8s %-16s %s\n", VerdictName(finding.verdict), finding.subject, finding.detail);
    if (!finding.cure.empty()) absl::StrAppendFormat(&text, "%-8s %-16s cure: %s\n", "", "", finding.cure);
  }
  return text;
}

}  // namespace

int Doctor(const CommandLine& line) {
  std::vector<Finding> findings = Diagnose(ReadDoctorView());
  if (!WriteAll(STDOUT_FILENO, line.options.json ? AsJson(findings) : AsText(findings)).ok()) return kExitOwnFailure;
  for (const Finding& finding : findings) {
    if (finding.verdict == Finding::Verdict::kBad) return kExitOwnFailure;
  }
  return 0;
}

}  // namespace acetate::launcher
