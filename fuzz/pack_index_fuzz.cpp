// ernie_pack.json: refused by its name, or read again from what it is written as.
#include "base/check.h"
#include "model/pack_index.h"
#include "model/testing/checkpoint_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  folder.write("ernie_pack.json", {reinterpret_cast<const char*>(data), size});
  const auto index = ernie::model::read_pack_index(folder.path());
  if (!index) {
    CHECK(index.error().message.starts_with(folder.path()), index.error().message);
    return 0;
  }
  const std::string text = ernie::model::pack_index_text(*index);
  folder.write("ernie_pack.json", text);
  const auto again = ernie::model::read_pack_index(folder.path());
  CHECK(again && ernie::model::pack_index_text(*again) == text, "not what was written");
  return 0;
}
