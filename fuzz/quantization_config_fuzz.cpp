// The quantization_config of a config.json whose geometry is good.
#include <string>

#include "base/check.h"
#include "model/config.h"
#include "model/quantization.h"
#include "text/json_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string good =
      ernie::take(ernie::text::read_file("tests/golden/model/tiny-moe-text/config.json"));
  const std::string text = good.substr(0, good.rfind('}')) + ", \"quantization_config\": " +
                           std::string(reinterpret_cast<const char*>(data), size) + "}";
  const auto config = ernie::model::parse_config(text, "config.json");
  if (!config) {
    CHECK(config.error().message.find("config.json") != std::string::npos, config.error().message);
    return 0;
  }
  (void)ernie::model::check_quantization(*config, config->quantization, 2).ok();
  (void)ernie::model::describe(config->quantization, ernie::DType::kBF16);
  return 0;
}
