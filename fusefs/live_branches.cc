#include "fusefs/live_branches.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "fusefs/branch_list.h"
#include "fusefs/make_branch.h"
#include "fusefs/open_branches.h"

namespace acetate::fusefs {
namespace {

// FORGETs come when the kernel has time for them.
constexpr std::chrono::milliseconds kPatience(1500);

std::string PathOfFd(int fd) {
  char path[PATH_MAX];
  const ssize_t length = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
  return std::string(path, length > 0 ? static_cast<size_t>(length) : 0);
}

absl::Status Refuse(absl::string_view reason) { return absl::FailedPreconditionError(reason); }

std::string ErrorReply(absl::string_view message) {
  return nlohmann::json({{"error", std::string(message)}})
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

LiveBranches::LiveBranches(const Options* options, UnionFs* fs, fuse_session* session, OwnerCalls* calls,
                           std::vector<UniqueFd> locks)
    : options_(options), fs_(fs), session_(session), calls_(calls) {
  for (size_t i = 0; i < locks.size(); ++i) locks_[static_cast<BranchId>(i)] = std::move(locks[i]);
}

std::vector<LiveBranches::Listed> LiveBranches::List() const {
  std::vector<Listed> list;
  for (UnionFs::BranchState& state : fs_->Branches()) {
    std::string path = PathOfFd(state.root_fd);
    list.push_back({std::move(state), std::move(path)});
  }
  return list;
}

absl::StatusOr<LiveBranches::Listed> LiveBranches::Find(const nlohmann::json& request) const {
  std::vector<Listed> list = List();
  if (const auto position = request.find("position"); position != request.end()) {
    const auto at = position->get<int64_t>();
    if (at >= 0 && at < static_cast<int64_t>(list.size())) return list[static_cast<size_t>(at)];
    return absl::NotFoundError(
        absl::StrCat("no branch at position ", at, "; they are counted from 0 to ", list.size() - 1));
  }
  const auto path = request.at("path").get<std::string>();
  struct stat wanted, st;
  const bool exists = stat(path.c_str(), &wanted) == 0;
  for (const Listed& branch : list) {
    const bool same =
        exists && fstat(branch.state.root_fd, &st) == 0 && st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino;
    if (same || branch.path == path) return branch;
  }
  return absl::NotFoundError(
      absl::StrCat("'", path, "' is no branch of this mount; see fusefs branch MOUNTPOINT list"));
}

absl::StatusOr<UnionFs::NewBranch> LiveBranches::Open(const std::string& path, const std::string& mode, BranchId id,
                                                      BranchId except) {
  const std::string escaped = absl::StrReplaceAll(path, {{"\\", "\\\\"}, {":", "\\:"}});
  absl::StatusOr<std::vector<BranchSpec>> parsed = ParseBranches(absl::StrCat(escaped, "=", mode));
  if (!parsed.ok()) return parsed.status();
  BranchSpec& spec = parsed->front();
  if (options_->confine && (except == kNoBranch || spec.writable())) {
    return Refuse("the daemon is confined to the branches that it was started with; mount the union anew");
  }
  if (spec.writable()) {
    // A mount that begins without a writable branch is one that the kernel lets nobody write to.
    if (!options_->can_change()) return Refuse("the union is mounted ro; mount it anew to write to it");
    if (options_->sync == SyncMode::kVolatile) {
      return Refuse("with sync=volatile no branch can become writable; mount the union anew");
    }
    spec.workdir = SiblingWorkDir(path);
    spec.make_workdir = true;
    if (spec.workdir.empty()) return Refuse(absl::StrCat("cannot name a work directory beside '", path, "'"));
  }
  const std::vector<Listed> list = List();
  std::vector<HeldBranch> held;
  for (const Listed& branch : list) {
    if (branch.state.id != except) held.push_back({&branch.state.spec, branch.state.root_fd, branch.state.work_fd});
  }
  absl::StatusOr<OpenedBranch> opened = OpenBranchBeside(spec, held);
  if (!opened.ok()) return opened.status();
  absl::StatusOr<std::unique_ptr<Branch>> branch = MakeBranch(*options_, spec, id, std::move(opened->fd), calls_);
  if (opened->made_work) made_work_ = spec.workdir;
  if (!branch.ok()) return branch.status();
  locks_[id] = std::move(opened->lock_fd);
  return UnionFs::NewBranch{*std::move(branch), std::move(opened->work_fd)};
}

template <typename Try>
absl::Status LiveBranches::WhenForgotten(const Listed& branch, const Try& change) {
  std::string in_use;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    std::vector<KernelNote> notes;
    Errno error = change(&in_use, &notes);
    ForgetInKernel(session_, notes);
    if (error.ok()) return absl::OkStatus();
    if (!(error == EBUSY)) return ErrnoToStatus(error, absl::StrCat("branch '", branch.path, "'"));
    if (std::chrono::steady_clock::now() > end) {
      return Refuse(
          absl::StrCat("branch '", branch.path, "' is in use: ", in_use, " is open, or somebody's directory"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

absl::Status LiveBranches::Add(const nlohmann::json& request) {
  const BranchId id = fs_->FreeBranchId();
  absl::StatusOr<UnionFs::NewBranch> opened =
      Open(request.at("path").get<std::string>(), request.at("mode").get<std::string>(), id, kNoBranch);
  if (!opened.ok()) return opened.status();
  const auto to = request.at("to").get<int64_t>();
  std::vector<KernelNote> notes;
  Errno added = fs_->AddBranch(to < 0 ? SIZE_MAX : static_cast<size_t>(to), *std::move(opened), &notes);
  ForgetInKernel(session_, notes);
  if (added.ok()) return absl::OkStatus();
  locks_.erase(id);
  return ErrnoToStatus(added, "add the branch");
}

absl::Status LiveBranches::Remove(const Listed& branch) {
  if (fs_->Branches().size() == 1) return Refuse("it is the only branch; unmount the union instead");
  absl::Status status = WhenForgotten(branch, [&](std::string* in_use, std::vector<KernelNote>* notes) {
    return fs_->RemoveBranch(branch.state.id, in_use, notes);
  });
  if (status.ok()) locks_.erase(branch.state.id);
  return status;
}

absl::Status LiveBranches::SetMode(const Listed& branch, const std::string& mode) {
  const bool was_writable = branch.state.work_fd >= 0;
  const bool writable = absl::StartsWith(mode, "rw");
  if (was_writable && writable) {
    return Refuse(absl::StrCat("branch '", branch.path, "' is writable; make it ro before it gets another rw mode"));
  }
  UniqueFd lock;
  if (was_writable) lock = std::move(locks_[branch.state.id]);
  absl::StatusOr<UnionFs::NewBranch> opened = Open(branch.path, mode, branch.state.id, branch.state.id);
  absl::Status status = opened.status();
  if (status.ok()) {
    status = WhenForgotten(branch, [&](std::string* in_use, std::vector<KernelNote>* notes) {
      return fs_->ReplaceBranch(branch.state.id, &*opened, in_use, notes);
    });
  }
  if (!status.ok() && was_writable) locks_[branch.state.id] = std::move(lock);
  if (!status.ok() && !was_writable) locks_.erase(branch.state.id);
  return status;
}

absl::Status LiveBranches::Apply(const std::string& verb, const nlohmann::json& request) {
  if (verb == "list") return absl::OkStatus();
  if (verb == "add") return Add(request);
  absl::StatusOr<Listed> branch = Find(request);
  if (!branch.ok()) return branch.status();
  if (verb == "remove") return Remove(*branch);
  if (verb == "mode") return SetMode(*branch, request.at("mode").get<std::string>());
  if (verb != "move") return absl::InvalidArgumentError(absl::StrCat("unknown verb ", verb));
  const auto to = request.at("to").get<int64_t>();
  std::vector<KernelNote> notes;
  fs_->MoveBranch(branch->state.id, to < 0 ? SIZE_MAX : static_cast<size_t>(to), &notes);
  ForgetInKernel(session_, notes);
  return absl::OkStatus();
}

std::string LiveBranches::Change(const nlohmann::json& request) {
  absl::Status status;
  made_work_.clear();
  try {
    status = Apply(request.at("branch").get<std::string>(), request);
  } catch (const nlohmann::json::exception& error) {
    status = absl::InvalidArgumentError(absl::StrCat("the request is not understood: ", error.what()));
  }
  if (!status.ok()) {
    if (!made_work_.empty()) {
      rmdir(absl::StrCat(made_work_, "/work").c_str());
      rmdir(made_work_.c_str());
    }
    return ErrorReply(status.message());
  }
  nlohmann::json list = nlohmann::json::array();
  for (const Listed& branch : List()) {
    list.push_back({{"position", list.size()}, {"path", branch.path}, {"mode", FormatMode(branch.state.spec)}});
  }
  return nlohmann::json({{"branches", std::move(list)}}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string LiveBranches::Whence(const nlohmann::json& request) {
  const nlohmann::json& path = request["whence"];
  if (!path.is_string()) return ErrorReply("the request is not understood");
  ErrnoOr<std::vector<UnionFs::Finding>> findings = fs_->Whence(path.get<std::string>());
  if (!findings.ok()) {
    return ErrorReply(ErrnoToStatus(findings.error(), absl::StrCat("'", path.get<std::string>(), "'")).message());
  }
  nlohmann::json layers = nlohmann::json::array();
  absl::flat_hash_map<BranchId, std::string> paths;
  for (const Listed& branch : List()) paths[branch.state.id] = branch.path;
  for (const UnionFs::Finding& finding : *findings) {
    layers.push_back({{"branch", paths[finding.branch]}, {"path", finding.path}, {"what", finding.what}});
  }
  return nlohmann::json({{"layers", std::move(layers)}}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace acetate::fusefs
