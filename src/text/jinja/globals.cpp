#include <ctime>
#include <unordered_map>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

Value raise_exception(Context& context, const Args& args) {
  const Value* message = args.find(0, "message");
  return context.fail(message ? to_utf8(to_string(*message)) : "the template raised an exception");
}

Value strftime_now(Context& context, const Args& args) {
  const Value* format = args.find(0, "format");
  if (!format || !format->string()) return context.fail("strftime_now: expected a format");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char buffer[256];
  const size_t n =
      std::strftime(buffer, sizeof(buffer), to_utf8(*format->string()).c_str(), &local);
  return from_utf8({buffer, n});
}

Value range(Context& context, const Args& args) {
  int64_t bounds[3] = {0, 0, 1};  // begin, end, step
  const size_t n = args.positional.size();
  if (n < 1 || n > 3) return context.fail("range: expected one to three numbers");
  for (size_t i = 0; i < n; ++i) {
    if (!args.positional[i].is_integer()) return context.fail("range: expected whole numbers");
    bounds[n == 1 ? 1 : i] = args.positional[i].as_integer();
  }
  const auto [begin, end, step] = bounds;
  if (step == 0) return context.fail("range: expected a step other than 0");
  List list;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (!context.charge(kItemCost)) return {};
    list.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return list;
}

Dict named(const Args& args) {
  Dict dict;
  for (const auto& [name, value] : args.named) assign(dict, from_utf8(name), value);
  return dict;
}

Value make_dict(Context&, const Args& args) { return named(args); }

Value make_namespace(Context& context, const Args& args) {
  Namespace* space = context.make_namespace();
  for (const Value& value : args.positional) {
    if (value.dict()) space->fields = *value.dict();
  }
  for (const auto& [name, value] : named(args)) assign(space->fields, name, value);
  return space;
}

}  // namespace

Value find_global(const std::string& name) {
  static const std::unordered_map<std::string, Function> kGlobals = {
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
      {"range", range},
      {"dict", make_dict},
      {"namespace", make_namespace},
  };
  const auto it = kGlobals.find(name);
  return it == kGlobals.end() ? Value(Undefined{name}) : Value(it->second);
}

}  // namespace ernie::text::jinja
