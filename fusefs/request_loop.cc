#include "fusefs/request_loop.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "fusefs/request_worker.h"

namespace acetate::fusefs {
namespace {

// How often the watcher looks, and how many times without a request before it sleeps until there is one.
constexpr std::chrono::milliseconds kMoment(10);
constexpr int kMomentsBeforeSleep = 10;
// A request that has just come is not one that nobody reads.
constexpr std::chrono::milliseconds kJustCome(1);
// Leaders beyond that wait for each other more than they do.
constexpr size_t kMostLeaders = 8;
// Work that may block, besides the leaders.
constexpr size_t kMostAtWork = 16;

// Makes a thread return from waiting for a request.
int InterruptSignal() { return SIGRTMIN; }

void Interrupted(int) {}

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void BlockInterrupts(bool block) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, InterruptSignal());
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

// The threads of the machine that run or want to, the calling one not counted. By /proc/loadavg.
int RunnableThreads(int loadavg_fd) {
  char text[128];
  const ssize_t size = pread(loadavg_fd, text, sizeof(text) - 1, 0);
  if (size <= 0) return 0;
  text[size] = 0;
  int running = 1;
  sscanf(text, "%*s %*s %*s %d/", &running);
  return running - 1;
}

}  // namespace

RequestLoop::Limits RequestLoop::DefaultLimits() {
  Limits limits;
  cpu_set_t allowed;
  limits.cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int own = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : limits.cpus;
  limits.followers = std::clamp<size_t>(static_cast<size_t>(own), 1, kMostLeaders);
  limits.leaders = std::clamp<size_t>(static_cast<size_t>(own), 2, kMostLeaders);
  limits.threads = limits.leaders + kMostAtWork;
  return limits;
}

RequestLoop::RequestLoop(RequestSource* source, const Limits& limits)
    : source_(source), limits_(limits), loadavg_(open("/proc/loadavg", O_RDONLY | O_CLOEXEC)), policy_(limits.cpus) {
  sem_init(&ended_, 0, 0);
}

RequestLoop::~RequestLoop() { sem_destroy(&ended_); }

Lead RequestLoop::lead() const {
  MutexLock lock(&mu_);
  return policy_.lead();
}

size_t RequestLoop::threads() const {
  MutexLock lock(&mu_);
  return workers_.size();
}

RequestLoop::Worker* RequestLoop::StartLocked(bool follower) {
  Worker& worker = workers_.emplace_back(this, follower);
  worker.waits = true;
  worker.thread = starter_->Start([this, &worker] { Work(&worker); });
  if (!worker.thread.joinable()) {  // it goes on with those that there are
    workers_.pop_back();
    return nullptr;
  }
  worker.id = worker.thread.native_handle();
  ++alive_;
  return &worker;
}

void RequestLoop::Run() {
  struct sigaction action = {};
  action.sa_handler = Interrupted;  // no SA_RESTART
  sigaction(InterruptSignal(), &action, nullptr);

  // The threads get no signals but that one.
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, InterruptSignal());
  pthread_sigmask(SIG_SETMASK, &all, &before);
  starter_.emplace();
  {
    MutexLock lock(&mu_);
    StartLocked(/*follower=*/false);
    EnsureWatcherLocked();
    ArrangeLocked();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  while (sem_wait(&ended_) != 0 && !source_->Ended()) {
  }
  {
    MutexLock lock(&mu_);
    ending_ = true;
    while (alive_ > 0) {
      for (Worker& worker : workers_) worker.wake.SignalAll();
      InterruptLocked(/*all=*/true);
      gone_.WaitFor(&mu_, kMoment);
    }
    for (Worker& worker : workers_) worker.thread.join();  // none of them wants the lock any more
  }
}

void RequestLoop::Work(Worker* me) {
  const std::unique_ptr<RequestSource::Slot> slot = source_->NewSlot();
  ScopedBlockingListener listener(me);
  MutexLock lock(&mu_);
  if (me->is_follower) {
    me->cpu.emplace();
    if (!me->cpu->works()) me->view = CpuFollower::View::kBlind;
  }
  while (!ending_ || me->work != nullptr) {
    if (me->leads && me->work == nullptr) {
      mu_.Unlock();
      LeadUntilTaken(me, slot.get());
      mu_.Lock();
      continue;
    }
    if (me->work != nullptr) {
      mu_.Unlock();
      (*me->work)();
      mu_.Lock();
      me->work = nullptr;
      me->for_whom->awaits_work = false;
      me->work_done.SignalAll();
      continue;
    }
    if (watcher_ == nullptr && !me->is_follower) {
      watcher_ = me;
      me->waits = false;
      WatchLocked(me);
      watcher_ = nullptr;
      EnsureWatcherLocked();
      continue;
    }
    me->waits = true;
    me->wake.Wait(&mu_);
  }
  --alive_;
  gone_.SignalAll();
}

void RequestLoop::LeadUntilTaken(Worker* me, RequestSource::Slot* slot) {
  while (me->leads.load(std::memory_order_relaxed)) {
    me->in_wait.store(true, std::memory_order_relaxed);
    const RequestSource::Received received = slot->Receive();
    me->in_wait.store(false, std::memory_order_relaxed);
    if (received == RequestSource::Received::kNothing) continue;
    if (received == RequestSource::Received::kEnd) {
      sem_post(&ended_);
      MutexLock lock(&mu_);
      ending_ = true;
      return;
    }
    const pid_t client = slot->client();
    me->CountRequest(client, slot->bulk());
    slot->Process();
    // Not before the answer: the client may be in exec, whose writes and flushes come while nobody can look at it.
    if (me->is_follower && me->cpu->works()) {
      const CpuFollower::View view = me->cpu->Follow(client);
      if (view != CpuFollower::View::kClear) me->view.store(view, std::memory_order_relaxed);
    }
  }
}

void RequestLoop::RunApart(Worker* me, absl::FunctionRef<void()> work) {
  Worker* helper = nullptr;
  {
    MutexLock lock(&mu_);
    if (me->leads) {
      me->leads = false;
      if (!ArrangeLocked()) me->leads = true;  // nobody else could
    }
    // What a follower has to do may be much, and it gets a CPU only when nobody else wants it.
    if (me->is_follower) helper = FreeLocked(/*follower=*/false);
    if (helper != nullptr) {
      helper->waits = false;
      helper->work = &work;
      helper->for_whom = me;
      helper->wake.SignalAll();
      me->awaits_work = true;
      while (helper->work == &work) helper->work_done.Wait(&mu_);
      return;
    }
  }
  BlockInterrupts(true);  // such work may return EINTR
  work();
  BlockInterrupts(false);
}

RequestLoop::Worker* RequestLoop::FreeLocked(bool follower) {
  for (Worker& worker : workers_) {
    if (worker.waits && worker.is_follower == follower) return &worker;
  }
  return ending_ || workers_.size() >= limits_.threads ? nullptr : StartLocked(follower);
}

void RequestLoop::EnsureWatcherLocked() {
  if (watcher_ != nullptr || ending_) return;
  if (Worker* worker = FreeLocked(/*follower=*/false); worker != nullptr) worker->wake.SignalAll();
}

void RequestLoop::GiveLeadLocked(Worker* worker) {
  worker->waits = false;
  worker->leads = true;
  worker->wake.SignalAll();
}

void RequestLoop::TakeLeadLocked(Worker* worker) {
  worker->leads = false;
  if (worker->in_wait) pthread_kill(worker->id, InterruptSignal());
  if (worker->is_follower && worker->cpu.has_value()) worker->cpu->Loosen();
}

size_t RequestLoop::WantedLocked() const {
  switch (policy_.lead()) {
    case Lead::kFollow:
      return 1;
    case Lead::kFollowEach:
      return std::clamp<size_t>(clients_, 1, limits_.followers);
    case Lead::kSeveral:
      return std::clamp<size_t>(clients_ + 1, 1, limits_.leaders);
  }
  return 1;
}

bool RequestLoop::ArrangeLocked() {
  const bool follow = limits_.followers > 0 && Follows(policy_.lead());
  const size_t wanted = WantedLocked();
  size_t leaders = 0;
  for (Worker& worker : workers_) {
    if (worker.leads && worker.is_follower == follow && leaders < wanted) ++leaders;
  }
  while (leaders < wanted) {
    Worker* worker = FreeLocked(follow);
    if (worker == nullptr) break;
    GiveLeadLocked(worker);
    ++leaders;
  }
  // Where there are none of the right kind, any will do.
  if (leaders == 0 && follow) {
    if (Worker* worker = FreeLocked(/*follower=*/false); worker != nullptr) {
      GiveLeadLocked(worker);
      return true;
    }
  }
  size_t kept = 0;
  bool led = leaders > 0;
  for (Worker& worker : workers_) {
    if (!worker.leads) continue;
    if (leaders == 0) {
      led = true;  // all others have something to do
    } else if (worker.is_follower == follow && kept < wanted) {
      ++kept;
    } else {
      TakeLeadLocked(&worker);
    }
  }
  return led;
}

void RequestLoop::InterruptLocked(bool all) {
  for (Worker& worker : workers_) {
    if (worker.in_wait && (all || (!worker.leads && &worker != watcher_))) pthread_kill(worker.id, InterruptSignal());
  }
}

Moment RequestLoop::LookLocked() {
  Moment moment;
  moment.now_ms = NowMs();
  moment.runnable = RunnableThreads(loadavg_.get());
  moment.background = ScopedBackgroundWork::UnderWay();
  std::vector<pid_t> clients;
  pid_t client = 0;
  for (Worker& worker : workers_) {
    const Worker::Counts counts = worker.counts();
    const uint64_t new_requests = counts.requests - worker.seen.requests;
    // One that follows may be behind its client, one that does not waits in its sleep.
    if (worker.leads && (worker.is_follower || !worker.in_wait)) --moment.runnable;
    if (worker.is_follower) {
      const CpuFollower::View view = worker.view.exchange(CpuFollower::View::kClear);
      moment.starved |= view == CpuFollower::View::kStarved;
      moment.blind |= view == CpuFollower::View::kBlind;
      // It cannot say so itself while it gets no CPU at all.
      const bool at_it = worker.cpu.has_value() && worker.at_it() && new_requests == 0;
      if (at_it && worker.seen_at_it) {
        moment.starved = true;
        worker.cpu->Loosen();
      }
      worker.seen_at_it = at_it;
    }
    if (new_requests > 0) {
      moment.requests += new_requests;
      moment.bulk += counts.bulk - worker.seen.bulk;
      moment.switches += counts.switches - worker.seen.switches;
      worker.AddClientsSince(worker.seen, &clients);
      // Leaders with a client each.
      const pid_t last = worker.client.load(std::memory_order_relaxed);
      if (client != 0 && client != last) moment.switches += new_requests;
      client = last;
    }
    worker.seen = counts;
  }
  if (!clients.empty()) {
    std::sort(clients.begin(), clients.end());
    clients_ = static_cast<size_t>(std::unique(clients.begin(), clients.end()) - clients.begin());
  }
  return moment;
}

void RequestLoop::WatchLocked(Worker* me) {
  int idle = 0;
  while (!ending_ && !me->leads) {
    me->wake.WaitFor(&mu_, kMoment);
    if (ending_) return;
    Moment moment = LookLocked();
    if (moment.requests == 0) {
      mu_.Unlock();
      bool waiting = source_->Wait(0);
      if (waiting) {
        std::this_thread::sleep_for(kJustCome);
        waiting = source_->Wait(0);
      }
      mu_.Lock();
      if (ending_) return;
      for (const Worker& worker : workers_) waiting &= worker.counts().requests == worker.seen.requests;
      moment.stuck = waiting;
    }
    policy_.Next(moment);
    if (moment.stuck) {
      for (Worker& worker : workers_) {
        if (worker.leads) TakeLeadLocked(&worker);
      }
    }
    if (!ArrangeLocked()) {
      me->leads = true;
      return;
    }
    InterruptLocked(/*all=*/false);
    idle = moment.requests == 0 && !moment.stuck ? idle + 1 : 0;
    if (idle < kMomentsBeforeSleep) continue;
    me->in_wait = true;
    mu_.Unlock();
    source_->Wait(-1);
    mu_.Lock();
    me->in_wait = false;
  }
}

}  // namespace acetate::fusefs
