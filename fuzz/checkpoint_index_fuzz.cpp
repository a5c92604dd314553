// model.safetensors.index.json, beside one file that it may name.
#include "base/check.h"
#include "base/result.h"
#include "model/checkpoint.h"
#include "model/testing/checkpoint_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  folder.write("a.safetensors", std::string("\2\0\0\0\0\0\0\0{}", 10));
  folder.write("model.safetensors.index.json", {reinterpret_cast<const char*>(data), size});
  try {
    const ernie::model::Checkpoint checkpoint(folder.path());
    CHECK(checkpoint.tensors().empty(), "tensors out of nowhere");
  } catch (const ernie::StartError& error) {
    CHECK(std::string_view(error.what()).starts_with(folder.path()), error.what());
  }
  return 0;
}
