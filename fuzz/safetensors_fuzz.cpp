// A file of weights: refused by its name, or every byte of every tensor can be read.
#include <numeric>

#include "base/check.h"
#include "base/result.h"
#include "model/safetensors.h"
#include "model/testing/checkpoint_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  folder.write("model.safetensors", {reinterpret_cast<const char*>(data), size});
  const std::string path = folder.path() + "/model.safetensors";
  try {
    const ernie::model::SafetensorsFile file(path);
    static volatile int sum;
    for (const auto& tensor : file.tensors()) {
      for (size_t i = 0; i < tensor.bytes; ++i) sum = sum ^ static_cast<int>(tensor.data[i]);
    }
    CHECK(file.header().size() <= size, "a header longer than the file");
  } catch (const ernie::StartError& error) {
    CHECK(std::string_view(error.what()).starts_with(path), error.what());
  }
  return 0;
}
