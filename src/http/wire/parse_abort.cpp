#include "http/wire/parse_abort.h"

#include "http/wire/field_reader.h"

namespace ernie::http {
namespace {

constexpr size_t kMaxIds = 1024;
constexpr size_t kMaxIdBytes = 256;

}  // namespace

Result<ParsedAbort> parse_abort(const boost::json::object& body) {
  FieldReader fields(body);
  ParsedAbort out;
  out.all = fields.boolean("abort_all").value_or(false);
  out.ids = fields.strings("request_ids", kMaxIds, kMaxIdBytes);
  if (out.all && fields.value("request_ids"))
    fields.fail("request_ids", "cannot come together with \"abort_all\": true; send one");
  if (!out.all && !fields.value("request_ids"))
    fields.fail("request_ids", "is missing: a list of ids or \"abort_all\": true is required",
                "missing_required_parameter");
  if (auto s = fields.status(); !s) return s.error();
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
