// Errors as the kernel gives them. `Errno` is one errno value (0: none); `ErrnoOr<T>` a value or the errno that kept it
// from being made. Inside fusefs every function returns one of these, so that a caller of the mount gets exactly the
// errno that the branch gave. `ErrnoToStatus` is the one place where an errno becomes an absl::Status.
#pragma once

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace acetate {

class [[nodiscard]] Errno {
 public:
  constexpr Errno() = default;
  constexpr explicit Errno(int value) : value_(value) {}
  static Errno Last() { return Errno(errno); }

  constexpr int value() const { return value_; }
  constexpr bool ok() const { return value_ == 0; }
  constexpr bool operator==(int value) const { return value_ == value; }
  // For the places where failure changes nothing, and says so.
  void IgnoreError() const {}

 private:
  int value_ = 0;
};

inline constexpr Errno kOk{};

template <typename T>
class [[nodiscard]] ErrnoOr {
 public:
  ErrnoOr(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): returned as a value
  ErrnoOr(Errno error) : error_(error) {}         // NOLINT(google-explicit-constructor): returned as an error

  bool ok() const { return error_.ok(); }
  Errno error() const { return error_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Errno error_;
  std::optional<T> value_;
};

// "`what`: No such file or directory" with the matching status code. `what` names the operation and its object, as in
// "mount proc on /proc".
absl::Status ErrnoToStatus(Errno error, absl::string_view what);

}  // namespace acetate

// Returns the error of an expression that is an Errno.
#define ACETATE_RETURN_IF_ERROR(expression)         \
  do {                                              \
    if (auto error_ = (expression); !error_.ok()) { \
      return error_;                                \
    }                                               \
  } while (false)

#define ACETATE_CONCAT_INNER(a, b) a##b
#define ACETATE_CONCAT(a, b) ACETATE_CONCAT_INNER(a, b)

// Declares or assigns `target` from an ErrnoOr, or returns its error.
#define ACETATE_ASSIGN_OR_RETURN(target, expression) \
  ACETATE_ASSIGN_OR_RETURN_IMPL(ACETATE_CONCAT(result_, __LINE__), target, expression)
#define ACETATE_ASSIGN_OR_RETURN_IMPL(result, target, expression) \
  auto result = (expression);                                     \
  if (!result.ok()) return result.error();                        \
  target = *std::move(result)
