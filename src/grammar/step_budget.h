#pragma once

#include <ctime>
#include <exception>

namespace ernie::grammar {

// Thrown out of XGrammar where following a grammar takes longer than its budget.
struct StepsEnded : std::exception {
  const char* what() const noexcept override {
    return "the grammar is too ambiguous to be followed as fast as tokens are drawn";
  }
};

// The processor time that following one answer through its grammar may take: every mask earns a
// little, and an ambiguous grammar, which takes more with every token, has spent it soon. Measured
// on the calling thread, so that a busy machine ends nobody's answer.
class StepBudget {
 public:
  // While it lives, the thread's steps are charged to the budget; it, or one of them, throws
  // StepsEnded when that is spent.
  class Charge {
   public:
    explicit Charge(StepBudget& budget);
    ~Charge();
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;

    void check();  // called at every step

   private:
    double elapsed() const;

    StepBudget& budget_;
    timespec start_{};
    int steps_ = 0;
  };

  void earn();  // for one mask

 private:
  static constexpr double kMost = 10e-3;  // seconds
  static constexpr double kEarned = 0.5e-3;

  double left_ = kMost;
};

}  // namespace ernie::grammar
