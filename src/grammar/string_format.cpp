#include "grammar/string_format.h"

#include <fmt/format.h>

#include <array>

namespace ernie::grammar {
namespace {

// RFC 3339, years from 1000 on: 31, 30 and 28 days, and the 29 February of leap years.
const std::string kDate =
    "([1-9]\\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|"
    "02-(0[1-9]|1\\d|2[0-8]))|([1-9]\\d(0[48]|[2468][048]|[13579][26])|"
    "([2468][048]|[13579][26])00)-02-29)";
const std::string kHour = "([01]\\d|2[0-3])";
const std::string kTime = kHour + ":[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]" + kHour + ":[0-5]\\d)";
// RFC 3339, appendix A: no unit may be left out between two others.
const std::string kTimeOfDuration =
    "T(\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S)";
const std::string kDuration =
    "P((\\d{1,9}Y(\\d{1,9}M(\\d{1,9}D)?)?|\\d{1,9}M(\\d{1,9}D)?|\\d{1,9}D)(" + kTimeOfDuration +
    ")?|" + kTimeOfDuration + "|\\d{1,9}W)";
const std::string kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const std::string kHostname = kLabel + "(\\." + kLabel + "){0,3}";
const std::string kEmail =
    "[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,31})?@" + kLabel + "(\\." + kLabel + "){1,2}";
const std::string kByte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const std::string kIpv4 = "(" + kByte + "\\.){3}" + kByte;
const std::string kGroup = "[0-9A-Fa-f]{1,4}";
// Eight groups, or fewer with one :: between them.
std::string ipv6() {
  std::string pattern = "(" + kGroup + ":){7}" + kGroup + "|::(" + kGroup + "(:" + kGroup +
                        "){0,6})?|(" + kGroup + ":){1,7}:";
  for (int before = 1; before <= 6; ++before) {
    pattern += fmt::format("|({}:){{{}}}(:{}){{1,{}}}", kGroup, before, kGroup, 7 - before);
  }
  return pattern;
}
const std::string kUuid =
    "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";
const std::string kPathCharacter = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const std::string kUri = "[A-Za-z][A-Za-z0-9+.-]*://" + kHostname + "(:[1-9]\\d{0,3})?(/" +
                         kPathCharacter + "*)*(\\?(" + kPathCharacter + "|[/?])*)?(#(" +
                         kPathCharacter + "|[/?])*)?";

struct Format {
  std::string_view name;
  std::string pattern;
};

}  // namespace

std::optional<std::string> format_pattern(std::string_view format) {
  static const std::array<Format, 11> formats = {{{"date", kDate},
                                                  {"time", kTime},
                                                  {"date-time", kDate + "T" + kTime},
                                                  {"duration", kDuration},
                                                  {"email", kEmail},
                                                  {"hostname", kHostname},
                                                  {"ipv4", kIpv4},
                                                  {"ipv6", ipv6()},
                                                  {"uuid", kUuid},
                                                  {"uri", kUri},
                                                  {"uri-reference", kUri}}};
  for (const Format& known : formats) {
    if (known.name == format) return known.pattern;
  }
  return std::nullopt;
}

}  // namespace ernie::grammar
