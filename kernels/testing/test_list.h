#pragma once

#include <vector>

namespace ernie::kernels::testing {

struct TestCase {
  const char* name;
  void (*body)();
};

std::vector<TestCase>& all_tests();

// True when the test passed.
bool run_test(const TestCase& test);

}  // namespace ernie::kernels::testing
