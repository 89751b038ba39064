// Makes a failing trace small: operations and layer entries that the failure does not need are taken out.
#pragma once

#include <functional>

#include "tests/differential/round.h"

namespace acetate::differential {

// `fails` runs a trace and says whether it still fails in the same way; it is called until `budget_seconds` are spent
// or nothing more can go.
Trace Minimise(Trace trace, const std::function<bool(const Trace&)>& fails, double budget_seconds);

}  // namespace acetate::differential
