// A large file on its way up: written at once, copied bit by bit.
//
// The upper file is as long as the union shows it and holes where nothing is copied or written yet. What is data in it
// is the file's own; where it has a hole, the lower file counts, up to the `floor`: what a truncation cut off does not
// come back when the file grows again. No map is kept beside: the filesystem knows its holes (SEEK_DATA), also after a
// crash.
//
// A write fills the pieces of kPiece bytes at its ends first, so that no block of the filesystem is partly the file's
// own. Thread-safe; blocks.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

class LazyFile {
 public:
  // At least as large as a block of any filesystem, and a multiple of it.
  static constexpr off_t kPiece = 64 << 10;

  // Whether a filesystem (statfs's f_type) says truly what is a hole, and makes none of zeros that are written.
  static bool TellsHoles(long filesystem_type);

  LazyFile(UniqueFd upper, UniqueFd lower, off_t floor);

  int upper_fd() const { return upper_.get(); }

  ErrnoOr<size_t> Read(char* buffer, size_t size, off_t offset) const;
  ErrnoOr<size_t> Write(const char* data, size_t size, off_t offset);
  // Returns the floor that is to be remembered.
  ErrnoOr<off_t> Truncate(off_t size);

  // Copies the next of what is missing, a few pieces, after those who wait to change the file. True when nothing is.
  ErrnoOr<bool> CopySome();
  // After that the upper file is as any other: its holes are holes.
  void Finish();

 private:
  // Comes before the copying.
  class ChangeLock {
   public:
    explicit ChangeLock(LazyFile* file);
    ~ChangeLock();

   private:
    LazyFile* const file_;
  };

  // Copies what is missing from the lower file.
  Errno Fill(off_t begin, off_t end);

  const UniqueFd upper_;
  const UniqueFd lower_;
  mutable std::mutex mu_;
  std::atomic<int> changing_{0};  // who has the lock, or waits for it, to change the file
  std::condition_variable unchanging_;
  off_t floor_;
  off_t next_ = 0;  // up to here nothing is missing
  bool finished_ = false;
};

}  // namespace acetate::fusefs
