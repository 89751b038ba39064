#include "fusefs/request_loop.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <system_error>

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

// The threads of the machine that run or want to, the calling one not counted.
int RunnableThreads() {
  static const int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  char text[128];
  const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
  if (size <= 0) return 0;
  text[size] = 0;
  int running = 1;
  sscanf(text, "%*s %*s %*s %d/", &running);
  return running - 1;
}

}  // namespace

// One thread. What is atomic is written by it and read by the watcher, or the other way about; the rest is guarded by
// the loop's `mu_`.
class RequestLoop::Worker : public BlockingListener {
 public:
  Worker(RequestLoop* loop, bool follower) : is_follower(follower), loop_(loop) {}
  void Run(absl::FunctionRef<void()> work) override { loop_->RunApart(this, work); }

  const bool is_follower;
  std::thread thread;
  pthread_t id = 0;
  CondVar wake;
  bool waits = false;                               // for the lead, or for work
  const absl::FunctionRef<void()>* work = nullptr;  // of another thread; null again once it is done
  CondVar work_done;
  uint64_t seen_requests = 0;  // by the watcher
  uint64_t seen_switches = 0;
  std::optional<CpuFollower> cpu;

  std::atomic<bool> leads{false};
  std::atomic<bool> in_wait{false};  // for a request: a signal makes it return
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> switches{0};
  std::atomic<pid_t> client{0};
  std::atomic<CpuFollower::View> view{CpuFollower::View::kClear};

  // Of a request of another client than the last one's.
  void NoteClient(pid_t new_client) {
    // Processes that follow upon each other, as in a script, are not several at once.
    if (std::find(recent_.begin(), recent_.end(), new_client) != recent_.end()) {
      switches.store(switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      recent_[next_++ % recent_.size()] = new_client;
    }
    client.store(new_client, std::memory_order_relaxed);
  }

 private:
  RequestLoop* const loop_;
  std::array<pid_t, 8> recent_{};
  size_t next_ = 0;
};

RequestLoop::Limits RequestLoop::DefaultLimits() {
  Limits limits;
  cpu_set_t allowed;
  limits.cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int own = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : limits.cpus;
  limits.leaders = std::clamp<size_t>(static_cast<size_t>(own), 1, kMostLeaders);
  limits.threads = limits.leaders + kMostAtWork;
  return limits;
}

RequestLoop::RequestLoop(RequestSource* source, const Limits& limits)
    : source_(source), limits_(limits), policy_(limits.cpus) {
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

void RequestLoop::StartLocked(bool follower) {
  Worker& worker = workers_.emplace_back(this, follower);
  worker.waits = true;
  try {
    worker.thread = std::thread(&RequestLoop::Work, this, &worker);
  } catch (const std::system_error&) {  // no more threads: it goes on with those that there are
    workers_.pop_back();
    return;
  }
  worker.id = worker.thread.native_handle();
  if (follower) follower_ = &worker;
  ++alive_;
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
  {
    MutexLock lock(&mu_);
    if (limits_.follow) StartLocked(true);
    StartLocked(false);
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
  if (me->is_follower) {
    me->cpu.emplace();
    if (!me->cpu->works()) me->view = CpuFollower::View::kBlind;
  }
  MutexLock lock(&mu_);
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
    me->requests.store(me->requests.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const pid_t client = slot->client();
    if (client != 0) {
      if (client != me->client.load(std::memory_order_relaxed)) me->NoteClient(client);
      if (me->is_follower && me->cpu->works()) {
        const CpuFollower::View view = me->cpu->Follow(client);
        if (view != CpuFollower::View::kClear) me->view.store(view, std::memory_order_relaxed);
      }
    }
    slot->Process();
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
    if (me->is_follower) helper = FreeLocked();
    if (helper != nullptr) {
      helper->waits = false;
      helper->work = &work;
      helper->wake.SignalAll();
      while (helper->work == &work) helper->work_done.Wait(&mu_);
      return;
    }
  }
  BlockInterrupts(true);  // such work may return EINTR
  work();
  BlockInterrupts(false);
}

RequestLoop::Worker* RequestLoop::FreeLocked() {
  for (Worker& worker : workers_) {
    if (worker.waits && !worker.is_follower) return &worker;
  }
  if (ending_ || workers_.size() >= limits_.threads) return nullptr;
  const size_t before = workers_.size();
  StartLocked(false);
  return workers_.size() > before ? &workers_.back() : nullptr;
}

void RequestLoop::EnsureWatcherLocked() {
  if (watcher_ != nullptr || ending_) return;
  if (Worker* worker = FreeLocked(); worker != nullptr) worker->wake.SignalAll();
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

bool RequestLoop::ArrangeLocked() {
  const bool follow = policy_.lead() == Lead::kFollow && follower_ != nullptr && (follower_->leads || follower_->waits);
  const size_t wanted = policy_.lead() == Lead::kSeveral ? limits_.leaders : 1;
  size_t leaders = 0;
  for (Worker& worker : workers_) {
    if (!worker.leads) continue;
    if (worker.is_follower == follow && leaders < wanted) {
      ++leaders;
    } else {
      TakeLeadLocked(&worker);
    }
  }
  for (; leaders < wanted; ++leaders) {
    Worker* worker = follow ? follower_ : FreeLocked();
    if (worker == nullptr) break;
    GiveLeadLocked(worker);
  }
  return leaders > 0;
}

void RequestLoop::InterruptLocked(bool all) {
  for (Worker& worker : workers_) {
    if (worker.in_wait && (all || (!worker.leads && &worker != watcher_))) pthread_kill(worker.id, InterruptSignal());
  }
}

Moment RequestLoop::LookLocked() {
  Moment moment;
  moment.now_ms = NowMs();
  moment.runnable = RunnableThreads();
  pid_t client = 0;
  for (Worker& worker : workers_) {
    const uint64_t requests = worker.requests.load(std::memory_order_relaxed);
    const uint64_t switches = worker.switches.load(std::memory_order_relaxed);
    const uint64_t new_requests = requests - worker.seen_requests;
    moment.requests += new_requests;
    moment.switches += switches - worker.seen_switches;
    worker.seen_requests = requests;
    worker.seen_switches = switches;
    // Two leaders, each with a client of its own.
    const pid_t last = worker.client.load(std::memory_order_relaxed);
    if (new_requests > 0 && client != 0 && client != last) moment.switches += new_requests;
    if (new_requests > 0) client = last;
  }
  if (follower_ != nullptr) {
    const CpuFollower::View view = follower_->view.exchange(CpuFollower::View::kClear);
    moment.starved = view == CpuFollower::View::kStarved;
    moment.blind = view == CpuFollower::View::kBlind;
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
      for (const Worker& worker : workers_) waiting &= worker.requests == worker.seen_requests;
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
