// udba=notify: who changes a branch behind the union's back is noticed, by inotify, and the kernel is told.
//
// Every listed directory is watched in each of its layers. The union's own changes are noticed, too; they are what is
// known already.
#include <pthread.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "fusefs/complain.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

Errno UnionFs::StartWatching(TellKernel tell) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(watch_, DirWatch::Start());
  watcher_ = std::thread([this, tell = std::move(tell)] { Watch(tell); });
  return kOk;
}

void UnionFs::EndWatching() {
  if (!watcher_.joinable()) return;
  watch_->Stop();
  watcher_.join();
}

void UnionFs::WatchLocked(Inode* dir) {
  if (watch_ == nullptr) return;
  for (const LayerDirRef& layer : dir->dir->layers) {
    ErrnoOr<FdRef> fd = DirFd(layer.get());
    if (!fd.ok()) continue;
    const bool writes = branches_.writable(layer->branch->id()) == nullptr;
    ErrnoOr<int> watch = watch_->Add((*fd)->get(), writes);
    if (!watch.ok() && !blind_) {
      blind_ = true;
      Complain(absl::StrCat("branch ", layer->branch->spec().path, ": changes that others make are not noticed in all ",
                            "directories: ", ErrnoToStatus(watch.error(), "inotify").message(),
                            "; raise fs.inotify.max_user_watches"));
    }
    if (!watch.ok()) continue;
    if (auto [it, added] = watched_.insert_or_assign(*watch, dir); added) dir->dir->watches.push_back(*watch);
  }
}

void UnionFs::UnwatchLocked(Inode* dir) {
  for (int watch : dir->dir->watches) {
    auto it = watched_.find(watch);
    if (it == watched_.end() || it->second != dir) continue;
    watched_.erase(it);
    watch_->Remove(watch);
  }
  dir->dir->watches.clear();
}

void UnionFs::NoticeLocked(const DirWatch::Event& event, std::vector<KernelNote>* notes) {
  auto watched = watched_.find(event.watch);
  if (watched == watched_.end()) return;
  Inode* dir = watched->second;
  if (dir->dir->removed || !dir->dir->listed) return;
  // In a `.wh.` branch a mark is about another name.
  const std::string name =
      IsDotWhName(event.name) && !DotWhHidden(event.name).empty() ? std::string(DotWhHidden(event.name)) : event.name;
  if (event.name_changed) {
    // Held: what it loses may be all that it is known for.
    ++dir->children;
    ReexamineLocked(dir, name, notes).IgnoreError();
    --dir->children;
    FreeIfUnused(dir);
    return;
  }
  const Dentry* dentry = Find(dir, name);
  if (dentry == nullptr || dentry->inode == nullptr) return;
  notes->push_back({0, "", IdOf(dentry->inode), event.contents_changed});
}

void UnionFs::Watch(const TellKernel& tell) {
  // Signals are for main.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  for (;;) {
    const std::vector<DirWatch::Event> events = watch_->Wait();
    if (events.empty()) return;
    std::vector<KernelNote> notes;
    {
      MutexLock lock(&mu_);
      for (const DirWatch::Event& event : events) {
        if (event.watch >= 0) {
          NoticeLocked(event, &notes);
          continue;
        }
        // What happened is not known: everything is looked at anew.
        RestackLocked(&notes);
      }
    }
    // Without the lock: the kernel may have to wait for our answers first.
    tell(notes);
  }
}

}  // namespace acetate::fusefs
