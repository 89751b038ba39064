// System calls with an owner's rights over files whose mode shuts even the owner out.
//
// The kernel has checked a caller's rights by what the union shows before a request arrives, so the daemon should be
// able to do what it is asked: read a file of mode 0000, make an entry in a directory of mode 0555. Root may, by
// CAP_DAC_OVERRIDE. A user's daemon may not, though each of these files is its own to chmod. In a user namespace that
// maps the user's ids to themselves it has that capability, over files of those ids alone. The daemon itself cannot
// live there: fusermount3 has no power in it, and every other user's file would seem to be nobody's. So a helper
// process does, which shares memory and file descriptors with the daemon and makes single system calls for it.
//
// Best effort: where user namespaces are forbidden there is no helper, and EACCES stays EACCES.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "common/errno_or.h"
#include "common/mutex.h"

namespace acetate::fusefs {

class OwnerCalls {
 public:
  // Null when this process needs no helper, since it has the capability, or cannot have one. To be called on the main
  // thread, whose death ends the helper.
  static std::unique_ptr<OwnerCalls> Start();
  ~OwnerCalls();
  OwnerCalls(const OwnerCalls&) = delete;
  OwnerCalls& operator=(const OwnerCalls&) = delete;

  // Makes system call `number` in the helper: an fd in the result is ours as well, and so is memory that is pointed to.
  // EACCES once the helper is gone. Any thread; one call at a time.
  template <typename... Arguments>
  ErrnoOr<long> Call(long number, Arguments... arguments) {
    static_assert(sizeof...(arguments) <= 6);
    const long values[6] = {ToLong(arguments)...};
    return CallWith(number, values);
  }

 private:
  struct Shared;

  OwnerCalls(std::unique_ptr<Shared> shared, void* stack, pid_t helper);

  template <typename T>
  static long ToLong(T* pointer) {
    return reinterpret_cast<long>(pointer);
  }
  static long ToLong(long value) { return value; }

  ErrnoOr<long> CallWith(long number, const long (&arguments)[6]);

  Mutex mu_;  // held over a call
  const std::unique_ptr<Shared> shared_;
  void* const stack_;
  const pid_t helper_;
};

}  // namespace acetate::fusefs
