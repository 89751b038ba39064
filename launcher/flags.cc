#include "launcher/flags.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace acetate::launcher {
namespace {

struct Draft {
  CommandLine line;
  const char* const* environ;
};

// Takes one value of one flag into the draft. Its error completes the sentence "--flag "value" ...".
using Apply = absl::Status (*)(Draft* draft, absl::string_view value);

struct Flag {
  const char* name;
  char letter;        // 0: none
  const char* value;  // what --help calls the value; null for a switch
  const char* help;
  Apply apply;
};

// Assigns what a parser gave.
template <typename T, typename U>
absl::Status Take(absl::StatusOr<T> parsed, U* target) {
  if (!parsed.ok()) return parsed.status();
  *target = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status ApplyImage(Draft* draft, absl::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError("is empty");
  draft->line.spec.image = std::string(value);
  return absl::OkStatus();
}

absl::Status ApplyEnvironment(Draft* draft, absl::string_view value) {
  std::optional<std::string> entry;
  if (absl::Status s = Take(ParseEnvironment(value, draft->environ), &entry); !s.ok()) return s;
  if (!entry.has_value()) return absl::OkStatus();
  std::string prefix = entry->substr(0, entry->find('=') + 1);
  for (std::string& known : draft->line.spec.environment) {
    if (absl::StartsWith(known, prefix)) {
      known = *entry;
      return absl::OkStatus();
    }
  }
  draft->line.spec.environment.push_back(*std::move(entry));
  return absl::OkStatus();
}

absl::Status ApplyVolume(Draft* draft, absl::string_view value) {
  Volume volume;
  if (absl::Status s = Take(ParseVolume(value), &volume); !s.ok()) return s;
  for (const Volume& known : draft->line.spec.volumes) {
    if (known.target == volume.target)
      return absl::InvalidArgumentError("has a container path that another -v has too");
  }
  draft->line.spec.volumes.push_back(std::move(volume));
  return absl::OkStatus();
}

absl::Status ApplyHostname(Draft* draft, absl::string_view value) {
  draft->line.spec.hostname = std::string(value);
  return CheckHostname(value);
}

absl::Status ApplyName(Draft* draft, absl::string_view value) {
  draft->line.spec.name = std::string(value);
  return CheckName(value);
}

const Flag kFlags[] = {
    {"image", 0, "DIR", "The image: a root directory, or a directory with a layers.list.", ApplyImage},
    {"env", 'e', "NAME[=VALUE]", "Set a variable; a bare NAME takes launch's own value. Adds up.", ApplyEnvironment},
    {"workdir", 'w', "PATH", "Directory the command starts in; made when missing. Default /.",
     [](Draft* d, absl::string_view v) { return Take(ParseWorkdir(v), &d->line.spec.workdir); }},
    {"user", 'u', "USER[:GROUP]", "Run as this user, by name or number. Default 0:0.",
     [](Draft* d, absl::string_view v) { return Take(ParseUser(v), &d->line.spec.user); }},
    {"hostname", 'h', "NAME", "Host name. Default: the container's short id.", ApplyHostname},
    {"rm", 0, nullptr, "Remove the container, with what it wrote, when it has ended.",
     [](Draft* d, absl::string_view v) {
       d->line.spec.remove = v == "true";
       return absl::OkStatus();
     }},
    {"name", 0, "NAME", "A name of its own, which no other container may have.", ApplyName},
    {"volume", 'v', "HOST:CONTAINER[:ro]", "Show a file or directory of the host. Adds up.", ApplyVolume},
    {"memory", 'm', "SIZE", "Memory limit, such as 512m or 2g.",
     [](Draft* d, absl::string_view v) { return Take(ParseMemory(v), &d->line.spec.memory_bytes); }},
    {"pids-limit", 0, "NUMBER", "Limit of processes and threads; -1 for none.",
     [](Draft* d, absl::string_view v) { return Take(ParsePidsLimit(v), &d->line.spec.pids_limit); }},
    {"explain", 0, nullptr, "Print what would be done, as JSON, and do nothing.",
     [](Draft* d, absl::string_view v) {
       if (v == "true") d->line.action = CommandLine::Action::kExplain;
       return absl::OkStatus();
     }},
    {"help", 0, nullptr, "Print this text.",
     [](Draft* d, absl::string_view v) {
       if (v == "true") d->line.action = CommandLine::Action::kHelp;
       return absl::OkStatus();
     }},
    {"version", 0, nullptr, "Print the version.",
     [](Draft* d, absl::string_view v) {
       if (v == "true") d->line.action = CommandLine::Action::kVersion;
       return absl::OkStatus();
     }},
};

const Flag* FindByName(absl::string_view name) {
  for (const Flag& flag : kFlags) {
    if (name == flag.name) return &flag;
  }
  return nullptr;
}

const Flag* FindByLetter(char letter) {
  for (const Flag& flag : kFlags) {
    if (flag.letter == letter) return &flag;
  }
  return nullptr;
}

absl::Status Unknown(absl::string_view flag) {
  return absl::InvalidArgumentError(absl::StrCat("unknown flag ", absl::CHexEscape(flag), "; see launch --help"));
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
  const Flag* flag = FindByName(name);
  if (flag == nullptr) return Unknown(absl::StrCat("--", name));
  if (flag->value != nullptr) return ApplyWithValue(*flag, value, words, draft);
  if (value.has_value() && *value != "true" && *value != "false") {
    return absl::InvalidArgumentError(absl::StrCat("flag --", name, " is a switch: it takes true or false"));
  }
  return ApplyValue(*flag, value.value_or("true"), draft);
}

// One word that begins with one dash: letters, the last of which may take a value.
absl::Status ReadShort(absl::string_view word, Words* words, Draft* draft) {
  for (absl::string_view letters = word.substr(1); !letters.empty();) {
    const Flag* flag = FindByLetter(letters[0]);
    if (flag == nullptr) return Unknown(absl::StrCat("-", letters.substr(0, 1)));
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

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& all_words, const char* const* environ) {
  Words words(all_words);
  Draft draft{{}, environ};
  if (!words.empty() && words.Peek() == "run") words.Next();
  while (!words.empty() && words.Peek().size() > 1 && words.Peek()[0] == '-') {
    const std::string& word = words.Next();
    if (word == "--") break;
    absl::Status status =
        absl::StartsWith(word, "--") ? ReadLong(word, &words, &draft) : ReadShort(word, &words, &draft);
    if (!status.ok()) return status;
  }
  draft.line.spec.command = words.Rest();
  bool runs = draft.line.action == CommandLine::Action::kRun || draft.line.action == CommandLine::Action::kExplain;
  if (runs && draft.line.spec.image.empty()) {
    return absl::InvalidArgumentError("flag --image is missing: launch --image DIR [--] COMMAND...");
  }
  if (runs && draft.line.spec.command.empty()) {
    return absl::InvalidArgumentError("no command given: launch --image DIR [--] COMMAND...");
  }
  return std::move(draft.line);
}

std::string HelpText() {
  std::string text =
      "usage: launch [run] --image DIR [flags] [--] COMMAND [ARGUMENT...]\n\n"
      "Runs COMMAND in a container: the image's layers and a fresh writable layer on top, stacked by fusefs, are its\n"
      "root; it has namespaces of its own and needs no privilege. The image is never written.\n\nFlags:\n";
  for (const Flag& flag : kFlags) {
    std::string left =
        flag.letter != 0 ? absl::StrFormat("  -%c, --%s", flag.letter, flag.name) : absl::StrCat("      --", flag.name);
    if (flag.value != nullptr) absl::StrAppend(&left, " ", flag.value);
    absl::StrAppendFormat(&text, "%-34s %s\n", left, flag.help);
  }
  text +=
      "\nExit status: the command's own; 128+N when signal N ended it; 127 command not found; 126 found but not\n"
      "executable; 125 launch itself failed, and says why in one line.\n";
  return text;
}

}  // namespace acetate::launcher
