#include "launcher/flags.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "launcher/detach_keys.h"
#include "launcher/flag_table.h"

namespace acetate::launcher {
namespace {

const Flag* FindByName(absl::string_view name, Verb verb) {
  for (const Flag& flag : AllFlags()) {
    if (flag.IsOf(verb) && name == flag.name) return &flag;
  }
  return nullptr;
}

const Flag* FindByLetter(char letter, Verb verb) {
  for (const Flag& flag : AllFlags()) {
    if (flag.IsOf(verb) && flag.letter == letter) return &flag;
  }
  return nullptr;
}

absl::Status Unknown(absl::string_view flag, Verb verb) {
  std::string of = verb == Verb::kRun ? "" : absl::StrCat(EntryOf(verb).name, " ");
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag ", absl::CHexEscape(flag), "; see launch ", of, "--help"));
}

// The words still to be read.
class Words {
 public:
  explicit Words(const std::vector<std::string>& words) : words_(words) {}
  bool empty() const { return next_ == words_.size(); }
  const std::string& Peek() const { return words_[next_]; }
  const std::string& Next() { return words_[next_++]; }
  std::vector<std::string> Rest() const { return {words_.begin() + static_cast<long>(next_), words_.end()}; }

 private:
  const std::vector<std::string>& words_;
  size_t next_ = 0;
};

absl::Status ApplyValue(const Flag& flag, absl::string_view value, Draft* draft) {
  absl::Status status = flag.apply(draft, value);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.name, " \"", absl::CHexEscape(value), "\" ", status.message()));
}

// The value of a flag that needs one: what was written with it, else the next word.
absl::Status ApplyWithValue(const Flag& flag, std::optional<absl::string_view> attached, Words* words, Draft* draft) {
  if (attached.has_value()) return ApplyValue(flag, *attached, draft);
  if (words->empty()) return absl::InvalidArgumentError(absl::StrCat("flag --", flag.name, " needs a value"));
  return ApplyValue(flag, words->Next(), draft);
}

// One word that begins with two dashes, and its value.
absl::Status ReadLong(absl::string_view word, Words* words, Draft* draft) {
  absl::string_view name = word.substr(2);
  std::optional<absl::string_view> value;
  if (size_t equals = name.find('='); equals != absl::string_view::npos) {
    value = name.substr(equals + 1);
    name = name.substr(0, equals);
  }
  const Flag* flag = FindByName(name, draft->line.verb);
  if (flag == nullptr) return Unknown(absl::StrCat("--", name), draft->line.verb);
  if (flag->value != nullptr) return ApplyWithValue(*flag, value, words, draft);
  if (value.has_value() && *value != "true" && *value != "false") {
    return absl::InvalidArgumentError(absl::StrCat("flag --", name, " is a switch: it takes true or false"));
  }
  return ApplyValue(*flag, value.value_or("true"), draft);
}

// One word that begins with one dash: letters, the last of which may take a value.
absl::Status ReadShort(absl::string_view word, Words* words, Draft* draft) {
  for (absl::string_view letters = word.substr(1); !letters.empty();) {
    const Flag* flag = FindByLetter(letters[0], draft->line.verb);
    if (flag == nullptr) return Unknown(absl::StrCat("-", letters.substr(0, 1)), draft->line.verb);
    letters.remove_prefix(1);
    if (flag->value == nullptr) {
      if (absl::Status s = ApplyValue(*flag, "true", draft); !s.ok()) return s;
      continue;
    }
    std::optional<absl::string_view> attached;
    if (!letters.empty()) {
      absl::ConsumePrefix(&letters, "=");
      attached = letters;
    }
    return ApplyWithValue(*flag, attached, words, draft);
  }
  return absl::OkStatus();
}

std::string Usage(const VerbEntry& verb) { return absl::StrCat("launch ", verb.name, " ", verb.usage); }

// The first word, when it is a verb's name.
Verb ReadVerb(Words* words) {
  if (words->empty()) return Verb::kRun;
  for (const VerbEntry& entry : AllVerbs()) {
    if (words->Peek() != entry.name) continue;
    words->Next();
    return entry.verb;
  }
  return Verb::kRun;
}

// What the spec of each verb starts from.
Spec StartingSpec(Verb verb) {
  Spec spec;
  spec.detach_keys = *ParseDetachKeys(kDefaultDetachKeys);
  spec.log_max_bytes = kDefaultLogBytes;
  if (verb == Verb::kExec) spec.workdir.clear();
  return spec;
}

absl::Status Missing(absl::string_view what, const VerbEntry& entry) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", Usage(entry)));
}

// The words behind the flags: containers, a command, or a container and a command.
absl::Status TakeRest(std::vector<std::string> rest, Draft* draft) {
  CommandLine* const line = &draft->line;
  const VerbEntry& entry = EntryOf(line->verb);
  for (const std::string& variable : line->spec.environment) SetVariable(variable, &draft->file_environment);
  line->spec.environment = std::move(draft->file_environment);
  if (line->verb == Verb::kRun) {
    if (!draft->entrypoint.empty()) rest.insert(rest.begin(), draft->entrypoint);
    line->spec.command = std::move(rest);
    if (line->spec.image.empty()) return Missing("flag --image is missing", entry);
    if (absl::Status s = CheckLimits(line->spec.limits); !s.ok()) return s;
    return line->spec.command.empty() ? Missing("no command given", entry) : absl::OkStatus();
  }
  if (line->verb == Verb::kExec && !rest.empty()) {
    size_t command = rest.size() > 1 && rest[1] == "--" ? 2 : 1;
    line->spec.command.assign(rest.begin() + static_cast<long>(std::min(command, rest.size())), rest.end());
    rest.resize(1);
    if (line->spec.command.empty()) return Missing("no command given", entry);
  }
  if (static_cast<int>(rest.size()) < entry.least) {
    return Missing(rest.empty() ? "no container named" : "no path named", entry);
  }
  if (rest.size() > static_cast<size_t>(entry.most)) {
    constexpr const char* kTooMany[] = {"no container is to be named", "one container is to be named, not more",
                                        "one container and one path are to be named, not more"};
    return Missing(kTooMany[entry.most], entry);
  }
  if (line->verb == Verb::kWhence) {
    line->path = std::move(rest.back());
    rest.pop_back();
  }
  line->containers = std::move(rest);
  return absl::OkStatus();
}

std::string FlagLines(Verb verb) {
  std::string text;
  for (const Flag& flag : AllFlags()) {
    if (!flag.IsOf(verb)) continue;
    std::string left =
        flag.letter != 0 ? absl::StrFormat("  -%c, --%s", flag.letter, flag.name) : absl::StrCat("      --", flag.name);
    if (flag.value != nullptr) absl::StrAppend(&left, " ", flag.value);
    absl::StrAppendFormat(&text, "%-34s %s\n", left, flag.help);
  }
  return text;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& all_words, const char* const* environ) {
  Words words(all_words);
  Draft draft{{}, environ};
  draft.line.verb = ReadVerb(&words);
  draft.line.spec = StartingSpec(draft.line.verb);
  while (!words.empty() && words.Peek().size() > 1 && words.Peek()[0] == '-') {
    const std::string& word = words.Next();
    if (word == "--") break;
    absl::Status status =
        absl::StartsWith(word, "--") ? ReadLong(word, &words, &draft) : ReadShort(word, &words, &draft);
    if (!status.ok()) return status;
  }
  if (draft.line.action == CommandLine::Action::kHelp || draft.line.action == CommandLine::Action::kVersion) {
    return std::move(draft.line);
  }
  if (absl::Status s = TakeRest(words.Rest(), &draft); !s.ok()) return s;
  return std::move(draft.line);
}

std::string HelpText(Verb verb) {
  const VerbEntry& entry = EntryOf(verb);
  if (verb != Verb::kRun) return absl::StrCat("usage: ", Usage(entry), "\n\n", entry.help, "\n\n", FlagLines(verb));
  std::string text =
      "usage: launch [run] --image DIR [flags] [--] COMMAND [ARGUMENT...]\n"
      "       launch VERB [flags] CONTAINER...\n\n"
      "Runs COMMAND in a container: the image's layers and a fresh writable layer on top, stacked by fusefs, are its\n"
      "root; it has namespaces of its own and needs no privilege. The image is never written.\n\nVerbs:\n";
  for (const VerbEntry& each : AllVerbs()) absl::StrAppendFormat(&text, "  %-10s %s\n", each.name, each.help);
  absl::StrAppend(&text,
                  "\nCONTAINER is a name, an id, or the beginning of one. launch VERB --help tells the verb's flags."
                  "\n\nFlags of run:\n",
                  FlagLines(verb));
  text +=
      "\nExit status: the command's own; 128+N when signal N ended it; 127 command not found; 126 found but not\n"
      "executable; 125 launch itself failed, and says why in one line.\n";
  return text;
}

}  // namespace acetate::launcher
