#include "fuzz/json_body.h"
#include "http/wire/parse_tokenize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ernie;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  fuzz::check_body(body, http::parse_tokenize);
  fuzz::check_body(
      body,
      +[](const boost::json::object& object) { return http::parse_detokenize(object, 1000, 8); });
  return 0;
}
