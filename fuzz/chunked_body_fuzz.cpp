// A chunked body, in pieces as it may come: content and verdict do not depend on the pieces, and it
// stays within its limit.
#include <string>

#include "base/check.h"
#include "fuzz/input.h"
#include "http/chunked_body.h"

namespace {

constexpr size_t kLimit = 1'000;

struct Outcome {
  std::string content;
  size_t taken = 0;
  bool done = false;
  int refused_with = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome decode(std::string_view bytes, size_t piece) {
  ernie::http::ChunkedBody body(kLimit);
  Outcome out;
  while (out.taken < bytes.size() && !body.done() && !body.rejection()) {
    out.taken += body.push(bytes.substr(out.taken, piece), out.content);
  }
  out.done = body.done();
  if (body.rejection()) out.refused_with = body.rejection()->status;
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::Input input(data, size);
  const size_t piece = 1 + input.byte();
  Outcome at_once = decode(input.rest(), size + 1);
  Outcome in_pieces = decode(input.rest(), piece);
  CHECK(at_once.content.size() <= kLimit, "over the limit");
  CHECK(!(at_once.done && at_once.refused_with != 0), "complete and refused");
  // How much of a refused body was looked at is nobody's business.
  if (at_once.refused_with != 0) {
    at_once.taken = in_pieces.taken;
    at_once.content = in_pieces.content;
  }
  CHECK(at_once == in_pieces, "another result in pieces");
  return 0;
}
