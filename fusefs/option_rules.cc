#include "fusefs/option_rules.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "fusefs/branch_list.h"

namespace acetate::fusefs {
namespace {

// One option, as `-o NAME[=VALUE]` and `--NAME[=VALUE]`. `value` is empty where none was given.
struct Rule {
  absl::string_view name;
  enum { kNoValue, kValue, kOptionalValue } takes;
  absl::Status (*apply)(Draft& draft, absl::string_view name, absl::string_view value);
};

absl::Status Bad(absl::string_view name, absl::string_view value, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(name, "=", value, ": must be ", want));
}

absl::Status ParseBool(absl::string_view name, absl::string_view value, bool* target) {
  if (value.empty() || value == "on" || value == "1" || value == "yes" || value == "true") {
    *target = true;
  } else if (value == "off" || value == "0" || value == "no" || value == "false") {
    *target = false;
  } else {
    return Bad(name, value, "on or off");
  }
  return absl::OkStatus();
}

template <bool Options::*field, bool negate = false>
absl::Status SetBool(Draft& draft, absl::string_view name, absl::string_view value) {
  bool on = false;
  absl::Status status = ParseBool(name, value, &on);
  if (status.ok()) draft.line.options.*field = on != negate;
  return status;
}

template <auto Options::*field>
absl::Status SetNumber(Draft& draft, absl::string_view name, absl::string_view value) {
  unsigned number = 0;
  if (!absl::SimpleAtoi(value, &number)) return Bad(name, value, "a number");
  draft.line.options.*field = number;
  return absl::OkStatus();
}

template <std::string Options::*field>
absl::Status SetPath(Draft& draft, absl::string_view name, absl::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat(name, "= is empty; give a path"));
  draft.line.options.*field = Unescape(value);
  return absl::OkStatus();
}

template <std::optional<std::string> Draft::*field>
absl::Status SetOnce(Draft& draft, absl::string_view name, absl::string_view value) {
  if ((draft.*field).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, "=", value, ": ", name, " was given before; give it once, directories separated by ':'"));
  }
  draft.*field = std::string(value);
  return absl::OkStatus();
}

absl::Status Ignore(Draft&, absl::string_view, absl::string_view) { return absl::OkStatus(); }

absl::Status IgnoreBool(Draft&, absl::string_view name, absl::string_view value) {
  bool ignored;
  return ParseBool(name, value, &ignored);
}

absl::Status PassToMount(Draft& draft, absl::string_view name, absl::string_view value) {
  draft.line.options.mount_options.push_back(value.empty() ? std::string(name) : absl::StrCat(name, "=", value));
  return absl::OkStatus();
}

template <IdMapping OwnerRules::*field>
absl::Status AddIds(Draft& draft, absl::string_view name, absl::string_view value) {
  absl::Status status = (draft.line.options.owners.*field).Add(value);
  return status.ok() ? status : Bad(name, value, status.message());
}

template <std::optional<uint32_t> OwnerRules::*field>
absl::Status SquashTo(Draft& draft, absl::string_view name, absl::string_view value) {
  uint32_t id;
  if (!absl::SimpleAtoi(value, &id) || id == UINT32_MAX) return Bad(name, value, "an id from 0 to 4294967294");
  draft.line.options.owners.*field = id;
  return absl::OkStatus();
}

// The more special options have precedence, in whatever order they come.
absl::Status SquashToRoot(Draft& draft, absl::string_view, absl::string_view) {
  OwnerRules& owners = draft.line.options.owners;
  owners.squash_uid = owners.squash_uid.value_or(0);
  owners.squash_gid = owners.squash_gid.value_or(0);
  return absl::OkStatus();
}

absl::Status SetWorkDir(Draft& draft, absl::string_view name, absl::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat(name, "= is empty; give a path"));
  draft.workdir = Unescape(value);
  return absl::OkStatus();
}

// One of a few words, each of which stands for a value.
template <typename Value>
absl::Status SetWord(absl::string_view name, absl::string_view word,
                     std::initializer_list<std::pair<absl::string_view, Value>> words, Value* target) {
  std::string want;
  for (const auto& [known, value] : words) {
    if (word == known) {
      *target = value;
      return absl::OkStatus();
    }
    absl::StrAppend(&want, want.empty() ? "" : ", ", known);
  }
  want.insert(want.rfind(", ") + 1, " or");
  want.erase(want.rfind(", "), 1);
  return Bad(name, word, want);
}

absl::Status SetCreatePolicy(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetWord<CreatePolicy>(name, value,
                               {{"ff", CreatePolicy::kFirst},
                                {"tdp", CreatePolicy::kParent},
                                {"mfs", CreatePolicy::kMostFreeSpace},
                                {"rr", CreatePolicy::kRoundRobin},
                                {"pmfs", CreatePolicy::kParentMostFreeSpace}},
                               &draft.line.options.create_policy);
}

absl::Status SetCopyUpPolicy(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetWord<CopyUpPolicy>(
      name, value,
      {{"tdp", CopyUpPolicy::kTopDownParent}, {"bup", CopyUpPolicy::kBottomUpParent}, {"bu", CopyUpPolicy::kBottomUp}},
      &draft.line.options.copy_up_policy);
}

absl::Status SetUdba(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetWord<Udba>(name, value, {{"none", Udba::kNone}, {"reval", Udba::kReval}, {"notify", Udba::kNotify}},
                       &draft.line.options.udba);
}

absl::Status SetIo(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetWord<Io>(name, value, {{"auto", Io::kAuto}, {"uring", Io::kUring}, {"threads", Io::kThreads}},
                     &draft.line.options.io);
}

absl::Status SetXattrNamespace(Draft& draft, absl::string_view name, absl::string_view value) {
  bool user = true;
  if (value != "auto") {
    absl::Status status = ParseBool(name, value, &user);
    if (!status.ok()) return Bad(name, value, "on, off or auto");
  }
  draft.line.options.xattr_namespace = value == "auto" ? XattrNamespace::kAuto
                                       : user          ? XattrNamespace::kUser
                                                       : XattrNamespace::kTrusted;
  return absl::OkStatus();
}

absl::Status SetWhiteouts(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetWord<WhiteoutEncoding>(
      name, value,
      {{"auto", WhiteoutEncoding::kAuto}, {"char", WhiteoutEncoding::kCharDevice}, {"xattr", WhiteoutEncoding::kXattr}},
      &draft.line.options.write_whiteouts);
}

// As the kernel's redirect_dir: on writes and follows; off and follow only follow; nofollow does neither.
absl::Status SetRedirectDir(Draft& draft, absl::string_view name, absl::string_view value) {
  Options& options = draft.line.options;
  options.follow_redirects = value != "nofollow";
  if (value == "follow" || value == "nofollow") {
    options.write_redirects = false;
    return absl::OkStatus();
  }
  absl::Status status = ParseBool(name, value, &options.write_redirects);
  return status.ok() ? status : Bad(name, value, "on, off, follow or nofollow");
}

absl::Status SetLazyCopyUpMin(Draft& draft, absl::string_view name, absl::string_view value) {
  int64_t& bytes = draft.line.options.lazy_copy_up_min;
  bytes = -1;
  if (value == "off") return absl::OkStatus();
  absl::string_view digits = value;
  int shift = 0;
  for (absl::string_view unit : {"K", "M", "G"}) {
    shift += 10;
    if (!absl::ConsumeSuffix(&digits, unit)) continue;
    if (absl::SimpleAtoi(digits, &bytes) && bytes >= 0 && bytes <= INT64_MAX >> shift) {
      bytes <<= shift;
      return absl::OkStatus();
    }
  }
  if (absl::SimpleAtoi(value, &bytes) && bytes >= 0) return absl::OkStatus();
  return Bad(name, value, "a number of bytes, with K, M or G or without, or off");
}

absl::Status SetXino(Draft& draft, absl::string_view name, absl::string_view value) {
  return value == "auto" ? absl::OkStatus() : IgnoreBool(draft, name, value);
}

absl::Status SetTimeout(Draft& draft, absl::string_view name, absl::string_view value) {
  double seconds;
  if (!absl::SimpleAtod(value, &seconds) || !(seconds >= 0 && seconds <= 1e9)) {
    return Bad(name, value, "a number of seconds from 0 to 1000000000");
  }
  draft.line.options.timeout = seconds;
  draft.has_timeout = true;
  return absl::OkStatus();
}

absl::Status SetFsname(Draft& draft, absl::string_view, absl::string_view value) {
  draft.line.options.fsname = Unescape(value);
  draft.has_fsname = true;
  return absl::OkStatus();
}

absl::Status SetSubtype(Draft& draft, absl::string_view, absl::string_view value) {
  draft.line.options.subtype = Unescape(value);
  return absl::OkStatus();
}

absl::Status SetDotWh(Draft& draft, absl::string_view name, absl::string_view value) {
  // Said either way, nothing is left to find out.
  draft.line.options.find_engine_layers = false;
  return ParseBool(name, value, &draft.dotwh);
}

absl::Status SetVolatile(Draft& draft, absl::string_view, absl::string_view) {
  draft.line.options.sync = SyncMode::kVolatile;
  draft.line.options.skip_sync = true;
  return absl::OkStatus();
}

// Without a value it is an option of the mount.
absl::Status SetSync(Draft& draft, absl::string_view name, absl::string_view value) {
  if (value.empty()) return PassToMount(draft, name, value);
  if (value == "volatile") return SetVolatile(draft, name, value);
  if (value != "auto" && value != "strict") return Bad(name, value, "auto, strict or volatile");
  draft.line.options.sync = value == "strict" ? SyncMode::kStrict : SyncMode::kAuto;
  draft.line.options.skip_sync = false;
  return absl::OkStatus();
}

absl::Status SetFsync(Draft& draft, absl::string_view name, absl::string_view value) {
  return SetBool<&Options::skip_sync, true>(draft, name, value);
}

absl::Status SetReadOnly(Draft& draft, absl::string_view name, absl::string_view value) {
  draft.line.options.read_only = name == "ro";
  return PassToMount(draft, name, value);
}

absl::Status SetXattrPermissions(Draft& draft, absl::string_view name, absl::string_view value) {
  OwnerRecords& target = draft.line.options.owner_records;
  if (value == "0") {
    target = OwnerRecords::kNone;
  } else if (value == "1") {
    target = OwnerRecords::kPrivileged;
  } else if (value == "2") {
    target = OwnerRecords::kUser;
  } else {
    return Bad(name, value, "0, 1 or 2");
  }
  return absl::OkStatus();
}

absl::Status SetPlugins(Draft&, absl::string_view name, absl::string_view value) {
  if (value.empty()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(name, "=", value, ": not supported; leave the option out"));
}

absl::Status SetDebug(Draft& draft, absl::string_view, absl::string_view) {
  draft.line.options.debug = true;
  draft.line.options.foreground = true;
  return absl::OkStatus();
}

template <Action action>
absl::Status SetAction(Draft& draft, absl::string_view, absl::string_view) {
  draft.line.action = action;
  return absl::OkStatus();
}

constexpr Rule kRules[] = {
    // The union.
    {"lowerdir", Rule::kValue, SetOnce<&Draft::lowerdir>},
    {"upperdir", Rule::kValue, SetOnce<&Draft::upperdir>},
    {"workdir", Rule::kValue, SetWorkDir},
    {"branches", Rule::kValue, SetOnce<&Draft::branches>},
    {"br", Rule::kValue, SetOnce<&Draft::branches>},
    {"create", Rule::kValue, SetCreatePolicy},
    {"cpup", Rule::kValue, SetCopyUpPolicy},
    {"udba", Rule::kValue, SetUdba},
    {"show_whiteouts", Rule::kOptionalValue, SetBool<&Options::show_whiteouts>},
    {"shwh", Rule::kNoValue, SetBool<&Options::show_whiteouts>},
    {"dotwh", Rule::kOptionalValue, SetDotWh},
    {"userxattr", Rule::kOptionalValue, SetXattrNamespace},
    {"whiteouts", Rule::kValue, SetWhiteouts},
    {"redirect_dir", Rule::kValue, SetRedirectDir},
    {"lazy_copy_up_min", Rule::kValue, SetLazyCopyUpMin},
    {"index", Rule::kValue, SetBool<&Options::index>},
    {"metacopy", Rule::kValue, SetBool<&Options::metacopy>},
    {"xattr", Rule::kValue, SetBool<&Options::xattr_off, true>},
    {"noxattrs", Rule::kValue, SetBool<&Options::xattr_off>},
    {"volatile", Rule::kNoValue, SetVolatile},
    {"fsync", Rule::kValue, SetFsync},
    {"uidmapping", Rule::kValue, AddIds<&OwnerRules::uids>},
    {"gidmapping", Rule::kValue, AddIds<&OwnerRules::gids>},
    {"squash_to_root", Rule::kNoValue, SquashToRoot},
    {"squash_to_uid", Rule::kValue, SquashTo<&OwnerRules::squash_uid>},
    {"squash_to_gid", Rule::kValue, SquashTo<&OwnerRules::squash_gid>},
    {"xattr_permissions", Rule::kValue, SetXattrPermissions},
    {"plugins", Rule::kOptionalValue, SetPlugins},
    // Without effect: what they ask for is how it always is here.
    {"static_nlink", Rule::kNoValue, Ignore},
    {"xino", Rule::kValue, SetXino},
    {"fast_ino", Rule::kValue, IgnoreBool},
    {"threaded", Rule::kValue, IgnoreBool},
    {"default_permissions", Rule::kNoValue, Ignore},
    {"nonempty", Rule::kNoValue, Ignore},
    // Without effect: access lists count where the branches have them.
    {"noacl", Rule::kNoValue, Ignore},
    // The FUSE connection.
    {"io", Rule::kValue, SetIo},
    {"timeout", Rule::kValue, SetTimeout},
    {"writeback", Rule::kOptionalValue, SetBool<&Options::writeback>},
    {"passthrough", Rule::kOptionalValue, SetBool<&Options::passthrough>},
    {"max_write", Rule::kValue, SetNumber<&Options::max_write>},
    {"max_readahead", Rule::kValue, SetNumber<&Options::max_readahead>},
    {"max_background", Rule::kValue, SetNumber<&Options::max_background>},
    {"congestion_threshold", Rule::kValue, SetNumber<&Options::congestion_threshold>},
    {"max_read", Rule::kValue, SetNumber<&Options::max_read>},
    // The mount.
    {"allow_other", Rule::kNoValue, SetBool<&Options::allow_other>},
    {"allow_root", Rule::kNoValue, SetBool<&Options::allow_root>},
    {"auto_unmount", Rule::kNoValue, PassToMount},
    {"fsname", Rule::kValue, SetFsname},
    {"subtype", Rule::kValue, SetSubtype},
    {"rw", Rule::kNoValue, SetReadOnly},
    {"ro", Rule::kNoValue, SetReadOnly},
    {"suid", Rule::kNoValue, PassToMount},
    {"nosuid", Rule::kNoValue, PassToMount},
    {"dev", Rule::kNoValue, PassToMount},
    {"nodev", Rule::kNoValue, PassToMount},
    {"exec", Rule::kNoValue, PassToMount},
    {"noexec", Rule::kNoValue, PassToMount},
    {"sync", Rule::kOptionalValue, SetSync},
    {"async", Rule::kNoValue, PassToMount},
    {"dirsync", Rule::kNoValue, PassToMount},
    {"atime", Rule::kNoValue, PassToMount},
    {"noatime", Rule::kNoValue, PassToMount},
    {"nodiratime", Rule::kNoValue, Ignore},
    {"relatime", Rule::kNoValue, Ignore},
    {"context", Rule::kValue, PassToMount},
    {"fscontext", Rule::kValue, PassToMount},
    {"defcontext", Rule::kValue, PassToMount},
    {"rootcontext", Rule::kValue, PassToMount},
    // What /etc/fstab holds for mount(8) and others.
    {"defaults", Rule::kNoValue, Ignore},
    {"auto", Rule::kNoValue, Ignore},
    {"noauto", Rule::kNoValue, Ignore},
    {"user", Rule::kOptionalValue, Ignore},
    {"nouser", Rule::kNoValue, Ignore},
    {"users", Rule::kNoValue, Ignore},
    {"owner", Rule::kNoValue, Ignore},
    {"group", Rule::kNoValue, Ignore},
    {"nofail", Rule::kNoValue, Ignore},
    {"_netdev", Rule::kNoValue, Ignore},
    {"comment", Rule::kValue, Ignore},
    // The daemon.
    {"confine", Rule::kOptionalValue, SetBool<&Options::confine>},
    {"control", Rule::kValue, SetPath<&Options::control_path>},
    {"stats_fd", Rule::kValue, SetNumber<&Options::stats_fd>},
    {"foreground", Rule::kNoValue, SetBool<&Options::foreground>},
    {"debug", Rule::kNoValue, SetDebug},
    {"help", Rule::kNoValue, SetAction<Action::kHelp>},
    {"version", Rule::kNoValue, SetAction<Action::kVersion>},
};

}  // namespace

absl::Status ApplyOption(Draft& draft, absl::string_view prefix, absl::string_view text) {
  const size_t equals = text.find('=');
  const bool has_value = equals != absl::string_view::npos;
  absl::string_view name = text.substr(0, equals);
  const absl::string_view value = has_value ? text.substr(equals + 1) : "";
  if (absl::StartsWithIgnoreCase(name, "x-")) return absl::OkStatus();  // other programs' notes in /etc/fstab
  // AUFS writes br:DIR=MODE.
  if (prefix == "-o " && absl::StartsWith(text, "br:")) return SetOnce<&Draft::branches>(draft, "br", text.substr(3));

  const auto* rule = std::find_if(std::begin(kRules), std::end(kRules), [&](const Rule& r) { return r.name == name; });
  if (rule == std::end(kRules)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown option ", prefix, text, "; see fusefs --help"));
  }
  if (rule->takes == Rule::kValue && !has_value) {
    return absl::InvalidArgumentError(absl::StrCat("option ", prefix, name, " needs a value: ", prefix, name, "=..."));
  }
  if (rule->takes == Rule::kNoValue && has_value) {
    return absl::InvalidArgumentError(absl::StrCat("option ", prefix, text, " takes no value; write ", prefix, name));
  }
  absl::Status status = rule->apply(draft, name, value);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(prefix, status.message()));
}

}  // namespace acetate::fusefs
