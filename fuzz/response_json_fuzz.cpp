#include "fuzz/json_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::check_body({reinterpret_cast<const char*>(data), size}, ernie::http::parse_response);
  return 0;
}
