#include "tests/budget/requests.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {

Requests CountRequests(const std::string& mountpoint) {
  const std::string command = absl::StrCat(FusefsProgram(), " stats '", mountpoint, "' --json");
  FILE* pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  char buffer[4096];
  while (const size_t length = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, length);
  if (pclose(pipe) != 0) throw std::runtime_error(command + " failed");

  Requests requests;
  const nlohmann::json answer = nlohmann::json::parse(output);
  for (const auto& [opcode, count] : answer.at("requests").items()) {
    const bool has_no_caller = opcode == "FORGET" || opcode == "BATCH_FORGET" || opcode == "INTERRUPT";
    if (!has_no_caller && count != 0) requests[opcode] = count;
  }
  return requests;
}

Requests RequestsOf(const std::string& mountpoint, const std::function<void()>& act) {
  const Requests before = CountRequests(mountpoint);
  act();
  Requests spent;
  const Requests after = CountRequests(mountpoint);
  for (const auto& [opcode, count] : after) {
    const auto earlier = before.find(opcode);
    const int more = count - (earlier == before.end() ? 0 : earlier->second);
    if (more > 0) spent[opcode] = more;
  }
  return spent;
}

std::string OverBudget(const Requests& spent, const Requests& budget) {
  std::string lines;
  for (const auto& [opcode, count] : spent) {
    const auto allowed = budget.find(opcode);
    const int limit = allowed == budget.end() ? 0 : allowed->second;
    if (count > limit) absl::StrAppend(&lines, opcode, ": ", count, " sent, ", limit, " allowed\n");
  }
  return lines;
}

}  // namespace acetate
