#include "text/stop_matcher.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

namespace ernie::text {
namespace {

TEST(StopMatcher, HoldsBackWhatMayBecomeAStop) {
  StopMatcher matcher({"STOP"});
  EXPECT_EQ(matcher.push("a ST").text, "a ");
  EXPECT_EQ(matcher.push("ST").text, "ST");
  const auto output = matcher.push("OPped");
  EXPECT_EQ(output.text, "");
  EXPECT_EQ(output.matched, 0u);
  EXPECT_EQ(output.rest, "ped");
}

TEST(StopMatcher, LetsGoAtTheEnd) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.push("yes\n\nUse").text, "yes");
  EXPECT_EQ(matcher.flush(), "\n\nUse");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, IncludesTheStopOnRequest) {
  StopMatcher matcher({"b", "ab"}, true);
  const auto output = matcher.push("xabc");
  EXPECT_EQ(output.text, "xab");
  EXPECT_EQ(output.matched, 1u);
}

TEST(StopMatcher, WithoutStopsEverythingPasses) {
  StopMatcher none({});
  EXPECT_EQ(none.push("abc").text, "abc");
  StopMatcher empty({""});
  const auto output = empty.push("abc");
  EXPECT_EQ(output.text, "abc");
  EXPECT_FALSE(output.matched);
}

struct Found {
  std::string text;
  std::optional<size_t> matched;
};

// Tries every end, then every stop string at that end.
Found naive(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      const std::string head = text.substr(0, end);
      if (stops[i].empty() || !head.ends_with(stops[i])) continue;
      if (!best || stops[i].size() > stops[*best].size()) best = i;
    }
    if (best) return {text.substr(0, include ? end : end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

// A39
TEST(StopMatcher, EqualsANaiveSearchAtAnyChunking) {
  const auto words = [](int letters) {
    return rc::gen::container<std::string>(
        rc::gen::inRange<char>('a', static_cast<char>('a' + letters)));
  };
  EXPECT_TRUE(rc::check([&](bool include) {
    const auto stops = *rc::gen::container<std::vector<std::string>>(words(3));
    const auto chunks = *rc::gen::container<std::vector<std::string>>(words(4));
    std::string all;
    for (const auto& chunk : chunks) all += chunk;
    const Found expected = naive(all, stops, include);

    StopMatcher matcher(stops, include);
    Found found;
    std::string fed;
    for (const auto& chunk : chunks) {
      fed += chunk;
      const auto output = matcher.push(chunk);
      found.text += output.text;
      // Nothing leaks: what is out is never more than the text before the stop.
      RC_ASSERT(expected.text.starts_with(found.text));
      if (output.matched) {
        found.matched = output.matched;
        break;
      }
    }
    if (!found.matched) found.text += matcher.flush();
    RC_ASSERT(found.text == expected.text);
    RC_ASSERT(found.matched == expected.matched);
  }));
}

// A39
TEST(StopMatcher, HostileStopsTakeLinearTime) {
  StopMatcher matcher({std::string(100'000, 'a') + "b", std::string(50'000, 'a') + "c"});
  size_t bytes = 0;
  const std::string chunk(1000, 'a');
  for (int i = 0; i < 5000; ++i) bytes += matcher.push(chunk).text.size();
  EXPECT_EQ(bytes, 5'000'000u - 100'000u);
  EXPECT_EQ(matcher.flush().size(), 100'000u);
}

}  // namespace
}  // namespace ernie::text
