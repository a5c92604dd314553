#include <algorithm>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

class Writer {
 public:
  Writer(Context& context, int64_t indent, bool sort_keys)
      : context_(context), indent_(indent), sort_keys_(sort_keys) {}

  void write(const Value& value) {
    if (context_.failed()) return;
    if (const String* text = value.string()) {
      write_string(*text);
    } else if (const List* list = value.list()) {
      open(U'[');
      for (const Value& item : *list) {
        separate();
        write(item);
      }
      close(U']', list->empty());
    } else if (const Dict* dict = value.dict()) {
      write_dict(*dict);
    } else if (value.is_none()) {
      add(U"null");
    } else if (value.is_bool()) {
      add(value.truthy() ? U"true" : U"false");
    } else if (value.is_number()) {
      add(to_string(value));
    } else {
      context_.fail(std::string("tojson: expected data, found ") + value.type_name());
    }
  }

  String take() { return std::move(out_); }

 private:
  void write_dict(const Dict& dict) {
    std::vector<const Dict::value_type*> entries;
    for (const auto& entry : dict) entries.push_back(&entry);
    if (sort_keys_) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto* a, const auto* b) { return a->first < b->first; });
    }
    open(U'{');
    for (const auto* entry : entries) {
      separate();
      write_string(entry->first);
      add(U": ");
      write(entry->second);
    }
    close(U'}', dict.empty());
  }

  void write_string(const String& text) {
    add(U"\"");
    for (char32_t c : text) {
      const char32_t bare = MarkBlindTraits::bare(c);
      const char32_t mark = c & kUserMark;
      constexpr StringView kFrom = U"\"\\\n\r\t\b\f";
      constexpr StringView kTo = U"\"\\nrtbf";
      const size_t at = kFrom.find(bare);
      if (at != StringView::npos) {
        add({U'\\' | mark, kTo[at] | mark});
      } else if (bare < 0x20) {
        const char32_t low = U"0123456789abcdef"[bare & 15];
        add({U'\\' | mark, U'u' | mark, U'0' | mark, U'0' | mark, (bare < 16 ? U'0' : U'1') | mark,
             low | mark});
      } else {
        add({c});
      }
    }
    add(U"\"");
  }

  void open(char32_t bracket) {
    add({bracket});
    ++level_;
    first_ = true;
  }
  void close(char32_t bracket, bool empty) {
    --level_;
    if (!empty) new_line();
    add({bracket});
    first_ = false;
  }
  void separate() {
    if (!first_) add(indent_ < 0 ? U", " : U",");
    first_ = false;
    new_line();
  }
  void new_line() {
    if (indent_ >= 0) add(U"\n" + String(indent_ * level_, U' '));
  }
  void add(const String& text) {
    if (context_.charge(text.size())) out_ += text;
  }

  Context& context_;
  int64_t indent_;
  bool sort_keys_;
  int64_t level_ = 0;
  bool first_ = true;
  String out_;
};

}  // namespace

Value to_json(Context& context, const Value& value, int64_t indent, bool sort_keys) {
  Writer writer(context, std::min<int64_t>(indent, 100), sort_keys);
  writer.write(value);
  return context.failed() ? Value() : Value(writer.take());
}

}  // namespace ernie::text::jinja
