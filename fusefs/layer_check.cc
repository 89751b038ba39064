#include "fusefs/layer_check.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "fusefs/check_work.h"
#include "fusefs/overlay_xattr.h"

namespace acetate::fusefs {
namespace {

struct Remedy {
  const char* would = "";
  const char* done = "";
};

constexpr Remedy kNoRemedy;
constexpr Remedy kRemove = {"removes it", "removed"};
constexpr Remedy kRemoveMark = {"removes the mark", "mark removed"};
constexpr Remedy kUpperAlone = {"removes the mark and shows what the upper holds alone",
                                "mark removed; what the upper holds is shown alone"};
constexpr Remedy kAllowXattr = {"marks its directory", "directory marked"};
constexpr Remedy kConvert = {"makes it a whiteout", "made a whiteout"};
constexpr Remedy kConvertOpaque = {"marks its directory opaque", "directory marked opaque"};

class Checker : public LayerVisitor {
 public:
  explicit Checker(const LayerCheck& check)
      : check_(check), upper_(*check.upper), default_xattrs_(UseTrusted(check.reading)), trail_(check.lowers) {}

  void EnterDir(const LayerObject& dir) override {
    const std::string name(dir.path.substr(dir.path.rfind('/') + 1));
    if (check_.reading.format == WhiteoutFormat::kOverlay && IsDotWhName(name)) {
      Report(dir, "directory of AUFS's own; an ordinary one here", kNoRemedy, Nothing);
    }
    CheckMarks(dir);
    if (!dir.path.empty()) CheckDirRedirect(dir, name);
    trail_.Enter(dir, name);
    opaque_.push_back(dir.opaque);
  }

  void LeaveDir() override {
    trail_.Leave();
    opaque_.pop_back();
  }

  void Visit(const LayerObject& object) override {
    if (object.whiteout != WhiteoutKind::kNone) {
      CheckWhiteout(object);
      return;
    }
    if (check_.reading.format == WhiteoutFormat::kOverlay && IsDotWhName(object.name)) CheckDotWh(object);
    CheckMarks(object);
    CheckContents(object);
    if (const Mark* mark = object.marks.Find(MarkKind::kWhiteout)) CheckStrayWhiteout(object, *mark);
  }

  void Unreadable(absl::string_view path, Errno error) override {
    Problem problem;
    problem.path = std::string(path);
    problem.what = std::string(ErrnoToStatus(error, "cannot be read").message());
    problems_.push_back(std::move(problem));
  }

  std::vector<Problem> Finish() {
    std::stable_sort(problems_.begin(), problems_.end(),
                     [](const Problem& a, const Problem& b) { return a.path < b.path; });
    return std::move(problems_);
  }

 private:
  static Errno Nothing() { return kOk; }

  static bool UseTrusted(const LayerReading& reading) {
    if (reading.families == MarkFamilies::kBoth) return OverlayXattr::MayUseTrusted();
    return reading.families == MarkFamilies::kTrusted;
  }

  template <typename Act>
  void Report(const LayerObject& object, std::string what, const Remedy& remedy, const Act& act) {
    Problem problem;
    problem.path = std::string(object.path);
    problem.what = std::move(what);
    problem.remedy = remedy.would;
    problem.done = remedy.done;
    if (check_.repair && !problem.remedy.empty()) {
      problem.failure = act();
      problem.repaired = problem.failure.ok();
    }
    problems_.push_back(std::move(problem));
  }

  Errno Remove(const LayerObject& object) { return upper_.Unlink(object.dirfd, object.name.c_str()); }

  Errno RemoveMark(const LayerObject& object, const Mark& mark) {
    return upper_.RemoveXattr(object.dirfd, object.name.c_str(), mark.key.c_str());
  }

  Errno SetOpaque(int dirfd, const std::string& key, const char* value) {
    return upper_.SetXattr(dirfd, "", key.c_str(), value, 1, 0);
  }

  // Marks that mean nothing. Of a directory's redirect see CheckDirRedirect.
  void CheckMarks(const LayerObject& object) {
    const bool contents_elsewhere = object.marks.Find(MarkKind::kMetacopy) != nullptr && S_ISREG(object.st.st_mode);
    for (const Mark& mark : object.marks.all()) {
      const std::string fault = MarkFault(mark, object.st.st_mode);
      if (fault.empty() || (mark.kind == MarkKind::kRedirect && object.is_dir())) continue;
      const bool of_contents = mark.kind == MarkKind::kRedirect || mark.kind == MarkKind::kMetacopy;
      if (contents_elsewhere && of_contents) {
        // Without the mark a file of zeros would be taken for the real one.
        Report(object, absl::StrCat(fault, ": where its contents are is lost"), kNoRemedy, Nothing);
      } else {
        Report(object, fault, kRemoveMark, [&] { return RemoveMark(object, mark); });
      }
    }
  }

  void CheckDirRedirect(const LayerObject& dir, const std::string& name) {
    for (const Mark& mark : dir.marks.all()) {
      if (mark.kind != MarkKind::kRedirect) continue;
      std::string what = MarkFault(mark, dir.st.st_mode);
      if (what.empty() && !dir.opaque) {
        const LowerFinding found = trail_.AtRedirect(mark.value);
        const bool leads_nowhere =
            found.answer == LowerFinding::kNothing || (found.answer == LowerFinding::kFound && !found.object.is_dir());
        if (leads_nowhere) what = "redirect to a directory that no lower layer has";
      }
      if (what.empty()) continue;
      Report(dir, what, kUpperAlone, [&]() -> Errno {
        // First what hides the directory that happens to lie under this name.
        if (!dir.opaque && trail_.AtName(name).answer != LowerFinding::kNothing) {
          ACETATE_RETURN_IF_ERROR(SetOpaque(dir.dirfd, SiblingKey(mark.key, "opaque"), "y"));
        }
        return RemoveMark(dir, mark);
      });
    }
  }

  void CheckContents(const LayerObject& object) {
    const Mark* metacopy = object.marks.Find(MarkKind::kMetacopy);
    const Mark* redirect = object.marks.Find(MarkKind::kRedirect);
    if (metacopy == nullptr || !S_ISREG(object.st.st_mode) || !MarkFault(*metacopy, S_IFREG).empty()) return;
    if (redirect != nullptr && !IsRedirect(redirect->value)) return;
    const LowerFinding found = redirect != nullptr ? trail_.AtRedirect(redirect->value) : trail_.AtName(object.name);
    const bool lost = found.answer == LowerFinding::kNothing ||
                      (found.answer == LowerFinding::kFound && !S_ISREG(found.object.attr().st_mode));
    if (lost) Report(object, "metacopy of a file that no lower layer has", kNoRemedy, Nothing);
  }

  void CheckWhiteout(const LayerObject& object) {
    std::string hidden = object.name;
    if (object.whiteout == WhiteoutKind::kDotWh) hidden = std::string(DotWhHidden(object.name));
    if (hidden.empty() || trail_.AtName(hidden).answer != LowerFinding::kNothing) return;
    Report(object, "whiteout that hides nothing", kRemove, [&] { return Remove(object); });
  }

  // An empty file that its directory keeps from being a whiteout, or something that can be none.
  void CheckStrayWhiteout(const LayerObject& object, const Mark& mark) {
    if (!S_ISREG(object.st.st_mode) || object.st.st_size != 0) {
      Report(object, "whiteout mark on what is no empty file", kRemoveMark, [&] { return RemoveMark(object, mark); });
    } else if (opaque_.back()) {
      Report(object, "xattr whiteout in an opaque directory, shown as a file", kRemove, [&] { return Remove(object); });
    } else {
      Report(object, "xattr whiteout in a directory that is not marked 'x', shown as a file", kAllowXattr,
             [&] { return SetOpaque(object.dirfd, SiblingKey(mark.key, "opaque"), "x"); });
    }
  }

  void CheckDotWh(const LayerObject& object) {
    const std::string hidden(DotWhHidden(object.name));
    const bool empty_file = S_ISREG(object.st.st_mode) && object.st.st_size == 0;
    if (!empty_file) {
      Report(object, "named as a whiteout of AUFS, but with contents; an ordinary file here", kNoRemedy, Nothing);
    } else if (object.name == kDotWhOpaqueName) {
      Report(object, "opaque mark of AUFS, an ordinary file here", kConvertOpaque, [&]() -> Errno {
        ACETATE_RETURN_IF_ERROR(SetOpaque(object.dirfd, default_xattrs_.opaque(), "y"));
        return Remove(object);
      });
    } else if (hidden.empty()) {
      Report(object, "file of AUFS's own, an ordinary one here", kRemove, [&] { return Remove(object); });
    } else if (trail_.AtName(hidden).answer == LowerFinding::kNothing ||
               upper_.Stat(object.dirfd, hidden.c_str()).ok()) {
      Report(object, "whiteout of AUFS that hides nothing, an ordinary file here", kRemove,
             [&] { return Remove(object); });
    } else {
      Report(object, "whiteout of AUFS, an ordinary file here", kConvert, [&]() -> Errno {
        ACETATE_RETURN_IF_ERROR(upper_.MkNod(object.dirfd, hidden.c_str(), S_IFCHR, makedev(0, 0)));
        return Remove(object);
      });
    }
  }

  const LayerCheck check_;
  const Branch& upper_;
  const OverlayXattr default_xattrs_;
  LowerTrail trail_;
  std::vector<bool> opaque_;  // of the directories on the way down
  std::vector<Problem> problems_;
};

}  // namespace

ErrnoOr<std::vector<Problem>> CheckLayer(const LayerCheck& check) {
  Checker checker(check);
  ACETATE_RETURN_IF_ERROR(WalkLayer(*check.upper, check.reading, &checker));
  std::vector<Problem> problems = checker.Finish();
  if (check.work_fd >= 0) ACETATE_RETURN_IF_ERROR(CheckWorkDir(check, &problems));
  return problems;
}

}  // namespace acetate::fusefs
