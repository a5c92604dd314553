#include "text/jinja/context.h"

#include "text/jinja/lexer.h"

namespace ernie::text::jinja {

Value Context::fail(const std::string& message) {
  if (!error_) error_ = template_error(line_, message);
  return {};
}

bool Context::step(int line) {
  if (failed()) return false;
  line_ = line;
  if (--left_.steps < 0) {
    Error error = template_error(line, "expected at most " + std::to_string(limits_.steps) +
                                           " steps; is there an endless loop?");
    error.code = kLimitCode;
    error_ = std::move(error);
  }
  return !failed();
}

bool Context::charge(size_t characters) {
  if (failed()) return false;
  if (characters > static_cast<size_t>(left_.characters)) {
    left_.characters = 0;
    fail("expected at most " + std::to_string(limits_.characters) + " characters to be made");
    error_->code = kLimitCode;
    return false;
  }
  left_.characters -= static_cast<int64_t>(characters);
  return true;
}

List Context::items(const Value& value) {
  List items;
  if (const List* list = value.list()) {
    if (charge(kItemCost * list->size())) items = *list;
  } else if (const Dict* dict = value.dict()) {
    if (!charge(kItemCost * dict->size())) return items;
    for (const auto& [key, item] : *dict) items.push_back(key);
  } else if (const String* text = value.string()) {
    if (!charge(kItemCost * text->size())) return items;
    for (char32_t c : *text) items.push_back(String(1, c));
  } else if (!value.is_undefined()) {
    fail(std::string("expected something to loop over, found ") + value.type_name());
  }
  return items;
}

}  // namespace ernie::text::jinja
