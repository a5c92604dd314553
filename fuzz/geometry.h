#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/json_file.h"

namespace ernie::fuzz {

// A good config.json with one key more, whose value is `value`.
inline std::string config_json_with(const std::string& key, std::string_view value) {
  static const std::string good =
      take(text::read_file("tests/golden/model/tiny-moe-text/config.json"));
  const size_t end = good.rfind('}');
  return good.substr(0, end) + ", \"" + key + "\": " + std::string(value) + "}";
}

}  // namespace ernie::fuzz
