#include "fuzz/json_body.h"

namespace {

ernie::Result<ernie::http::ParsedChat> parse(const boost::json::object& body) {
  return ernie::http::parse_anthropic(body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::check_body({reinterpret_cast<const char*>(data), size}, parse);
  return 0;
}
