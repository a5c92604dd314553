// config.json: refused by its name, or a geometry whose sizes can be computed.
#include "base/check.h"
#include "model/config.h"
#include "model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config =
      ernie::model::parse_config({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config) {
    CHECK(config.error().message.find("config.json") != std::string::npos, config.error().message);
    return 0;
  }
  CHECK(ernie::model::count_parameters(*config) > 0, "no parameters");
  (void)ernie::model::count_parameters(ernie::model::without_vision(*config));
  return 0;
}
