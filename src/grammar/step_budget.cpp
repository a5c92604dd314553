#include "grammar/step_budget.h"

#include <algorithm>

#include "base/check.h"
#include "grammar/checkpoint.h"

namespace ernie::grammar {
namespace {

thread_local StepBudget::Charge* current_charge = nullptr;

timespec processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now;
}

}  // namespace

StepBudget::Charge::Charge(StepBudget& budget) : budget_(budget), start_(processor_time()) {
  if (budget.left_ <= 0) throw StepsEnded();
  CHECK(current_charge == nullptr, "a thread follows one grammar at a time");
  current_charge = this;
  xgrammar::checkpoint = [](size_t) { current_charge->check(); };
}

StepBudget::Charge::~Charge() {
  xgrammar::checkpoint = nullptr;
  current_charge = nullptr;
  budget_.left_ -= elapsed();
}

void StepBudget::Charge::check() {
  constexpr int kStepsBetweenLooks = 16;  // at the clock
  if (++steps_ % kStepsBetweenLooks == 0 && elapsed() > budget_.left_) throw StepsEnded();
}

double StepBudget::Charge::elapsed() const {
  const timespec now = processor_time();
  return static_cast<double>(now.tv_sec - start_.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec - start_.tv_nsec);
}

void StepBudget::earn() { left_ = std::min(kMost, left_ + kEarned); }

}  // namespace ernie::grammar
