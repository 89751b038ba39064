// What the command line may hold, as tables: the verbs, and the flags with the verbs that take them. Read by the
// parser, by --help and by the test of the shells' completions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "launcher/flags.h"

namespace acetate::launcher {

struct VerbEntry {
  Verb verb;
  const char* name;
  const char* usage;  // what follows the name
  const char* help;
  // How many containers it takes; exec's command comes after its one.
  int least;
  int most;
};

const std::vector<VerbEntry>& AllVerbs();
const VerbEntry& EntryOf(Verb verb);

// The command line as far as it has been read.
struct Draft {
  CommandLine line;
  const char* const* environ;
  std::vector<std::string> file_environment;  // what -e says goes before it
  std::string entrypoint;                     // empty: none
};

// Sets a variable, NAME=VALUE, in place of what it was.
void SetVariable(std::string entry, std::vector<std::string>* environment);

// Takes one value of one flag into the draft. Its error completes the sentence "--flag "value" ...".
using Apply = absl::Status (*)(Draft* draft, absl::string_view value);

struct Flag {
  const char* name;
  char letter;        // 0: none
  const char* value;  // what --help calls the value; null for a switch
  const char* help;
  uint32_t verbs;  // a bit for each Verb that takes it
  Apply apply;

  bool IsOf(Verb verb) const { return (verbs >> static_cast<int>(verb) & 1) != 0; }
};

const std::vector<Flag>& AllFlags();

}  // namespace acetate::launcher
