#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <set>

#include "tests/differential/layers.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

class Maker {
 public:
  explicit Maker(Random& random) : random_(random) {}

  Layers Make() {
    layers_.count = 2 + random_.Below(4);
    for (layer_ = layers_.count - 1; layer_ >= 0; --layer_) {
      // What is below: whiteouts and opaque directories are put where they hide something.
      Layers below;
      below.count = layers_.count;
      below.entries = layers_.entries;
      below_.clear();
      // Lowers may have their whiteouts written in the way that needs no device nodes; the root says so.
      xattr_whiteouts_ = layer_ != 0 && random_.Percent(35);
      for (const Entry& entry : Flatten(below)) below_[entry.path] = entry.type;
      files_.clear();
      Directory("", 0, false);
    }
    // A union counts the names that its layer has, a plain directory those that are seen: they must be the same.
    std::vector<Entry> kept;
    for (const Entry& entry : layers_.entries) {
      const bool is_link = entry.type == EntryType::kHardLink;
      if (!is_link || (IsSeen(entry.path, entry.layer) && IsSeen(entry.target, entry.layer))) kept.push_back(entry);
    }
    layers_.entries = std::move(kept);
    return layers_;
  }

 private:
  bool IsBelow(const std::string& path) const { return below_.count(path) != 0; }

  // Whether no layer above this one hides the path.
  bool IsSeen(const std::string& path, int layer) const {
    for (const Entry& above : layers_.entries) {
      if (above.layer >= layer) continue;
      if (above.path == path) return false;
      const bool is_ancestor = above.path.empty() || path.rfind(above.path + "/", 0) == 0;
      if (is_ancestor && (above.type != EntryType::kDirectory || above.opaque)) return false;
    }
    return true;
  }

  Entry NewEntry(EntryType type, const std::string& path) {
    Entry entry;
    entry.type = type;
    entry.layer = layer_;
    entry.path = path;
    entry.uid = random_.Pick(Owners());
    entry.gid = random_.Pick(Groups());
    entry.mtime = random_.Between(100000000, 1600000000);
    entry.mtime_ns = random_.Below(1000000000);
    entry.atime = random_.Between(100000000, 1600000000);
    return entry;
  }

  void AddXattrs(Entry& entry) {
    if (!random_.Percent(20)) return;
    const bool user_allowed = entry.type == EntryType::kFile || entry.type == EntryType::kDirectory;
    for (uint64_t i = random_.Below(3) + 1; i > 0; --i) {
      const std::string name = random_.Pick(XattrNames());
      if (name.rfind("user.", 0) == 0 && !user_allowed) continue;
      entry.xattrs[name] = RandomBytes(random_, random_.Below(60));
    }
    if (entry.type == EntryType::kFile && random_.Percent(15)) entry.xattrs["security.capability"] = FileCapability();
    if (random_.Percent(15)) entry.xattrs["system.posix_acl_access"] = AccessList(random_);
    if (entry.type == EntryType::kDirectory && random_.Percent(20)) {
      entry.xattrs["system.posix_acl_default"] = AccessList(random_);
    }
  }

  void Directory(const std::string& path, int depth, bool hides_below) {
    Entry directory = NewEntry(EntryType::kDirectory, path);
    directory.mode = path.empty() ? (random_.Percent(50) ? 0755 : 0777) : random_.Pick(DirectoryModes());
    directory.opaque = !path.empty() && (IsBelow(path) ? random_.Percent(25) : random_.Percent(3));
    directory.xattr_whiteouts = xattr_whiteouts_ && !directory.opaque;
    hides_below |= directory.opaque;
    AddXattrs(directory);
    layers_.entries.push_back(directory);

    const int children = path.empty() ? random_.Between(5, 9) : random_.Between(0, 6);
    std::set<std::string> taken;
    for (int i = 0; i < children; ++i) {
      const std::string name = random_.Pick(ObjectNames());
      if (!taken.insert(name).second) continue;
      Child(path.empty() ? name : path + "/" + name, depth + 1, hides_below);
    }
  }

  void Child(const std::string& path, int depth, bool hides_below) {
    if (!hides_below && IsBelow(path) && random_.Percent(25)) {
      layers_.entries.push_back(NewEntry(xattr_whiteouts_ ? EntryType::kXattrWhiteout : EntryType::kWhiteout, path));
      return;
    }
    const uint64_t die = random_.Below(100);
    if (die < 40 && depth <= 3) {
      Directory(path, depth, hides_below);
    } else if (die < 80) {
      File(path);
    } else if (die < 88) {
      Entry link = NewEntry(EntryType::kSymlink, path);
      link.target = random_.Pick(SymlinkTargets());
      layers_.entries.push_back(link);
    } else if (die < 92 || files_.empty()) {
      Entry node = NewEntry(EntryType::kNode, path);
      node.mode = random_.Pick(NodeModes());
      if (S_ISCHR(node.mode) || S_ISBLK(node.mode)) node.rdev = makedev(240, 1 + random_.Below(9));
      AddXattrs(node);
      layers_.entries.push_back(node);
    } else {
      Entry link = NewEntry(EntryType::kHardLink, path);
      link.target = random_.Pick(files_);
      layers_.entries.push_back(link);
    }
  }

  void File(const std::string& path) {
    Entry file = NewEntry(EntryType::kFile, path);
    file.mode = random_.Pick(FileModes());
    const uint64_t die = random_.Below(100);
    if (die < 70) {
      file.size = random_.Below(5000);
    } else if (die < 88) {
      file.size = random_.Below(200000);
      if (random_.Percent(50)) file.hole = random_.Below(file.size + 1);
    } else if (die < 90) {
      file.size = 3000000 + random_.Below(1000000);
      file.hole = random_.Percent(50) ? file.size - random_.Below(20000) : 0;
    }
    file.pattern = random_.Next() >> 1;
    AddXattrs(file);
    layers_.entries.push_back(file);
    files_.push_back(path);
  }

  Random& random_;
  Layers layers_;
  int layer_ = 0;
  bool xattr_whiteouts_ = false;  // in this layer
  std::map<std::string, EntryType> below_;
  std::vector<std::string> files_;  // of this layer
};

}  // namespace

Layers RandomLayers(Random& random) { return Maker(random).Make(); }

}  // namespace acetate::differential
