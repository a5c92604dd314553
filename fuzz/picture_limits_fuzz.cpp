// processor_config.json and preprocessor_config.json with a zero byte between: refused, or limits
// that pictures can be scaled to.
#include "base/check.h"
#include "fuzz/input.h"
#include "model/picture_limits.h"
#include "model/testing/checkpoint_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  static const auto config = ernie::take(ernie::model::load_config("tests/golden/model/tiny-a"));
  ernie::fuzz::Input input(data, size);
  folder.write("processor_config.json", std::string(input.part()));
  folder.write("preprocessor_config.json", std::string(input.rest()));
  const auto options = ernie::model::load_processor_options(config, folder.path(), {});
  if (!options) return 0;
  CHECK(options->image_min_pixels >= 1 && options->image_min_pixels <= options->image_max_pixels,
        "limits of pictures");
  CHECK(ernie::model::max_media_tokens(config, *options) >= 1, "tokens of a picture");
  return 0;
}
