#include "text/added_tokens.h"

#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "text/json_file.h"

namespace ernie::text {
namespace {

namespace json = boost::json;

constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

// Collects what one file says; `error` keeps the first complaint.
class Reader {
 public:
  Reader(AddedTokens& added, std::string file) : added_(added), file_(std::move(file)) {}

  void add(const std::string& text, int32_t id, std::optional<bool> special) {
    if (text.empty()) return;
    AddedTokens::Token& token = added_.tokens[text];
    if (id != AddedTokens::kNoId && token.id != AddedTokens::kNoId && token.id != id) {
      fail("gives the token \"" + text + "\" id " + std::to_string(id) + ", another file id " +
           std::to_string(token.id) + "; make the files agree");
    }
    if (id != AddedTokens::kNoId) token.id = id;
    if (special) token.special = *special;
  }

  // {"<token>": id}
  void added_tokens_file(const json::object& object) {
    for (const auto& [text, id] : object) {
      if (auto number = as_id(id)) add(text, *number, std::nullopt);
    }
  }

  // {"<id>": {"content": "<token>", "special": true}}
  void added_tokens_decoder(const json::object& object) {
    for (const auto& [id_text, entry] : object) {
      int32_t id = -1;
      const auto [end, code] = std::from_chars(id_text.data(), id_text.data() + id_text.size(), id);
      if (code != std::errc{} || end != id_text.data() + id_text.size() || id < 0) {
        fail("added_tokens_decoder: expected a token id as key, found \"" + std::string(id_text) +
             "\"");
        return;
      }
      if (auto text = content(entry)) {
        add(*text, id, is_special(entry));
        surroundings(*text, entry);
      }
    }
  }

  // [{"id": id, "content": "<token>", "special": true}], of tokenizer.json
  void added_tokens_list(const json::array& list) {
    for (const json::value& entry : list) {
      const json::value* id = entry.is_object() ? entry.get_object().if_contains("id") : nullptr;
      const auto text = content(entry);
      if (!id || !text) {
        fail("added_tokens: expected objects with id and content, found " + json::serialize(entry));
        return;
      }
      if (auto number = as_id(*id)) add(*text, *number, is_special(entry));
      surroundings(*text, entry);
    }
  }

  void roles_and_lists(const json::object& object) {
    for (const char* role : kRoles) {
      const json::value* value = object.if_contains(role);
      if (!value) continue;
      if (auto text = content(*value)) {
        add(*text, AddedTokens::kNoId, true);
        surroundings(*text, *value);
        added_.roles.emplace(role, *text);
      }
    }
    // A list (absent or null in some checkpoints), or tokens by the names that a model gives them.
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
      const json::value* more = object.if_contains(key);
      if (!more) continue;
      const auto add_special = [&](const json::value& value) {
        if (auto text = content(value)) {
          add(*text, AddedTokens::kNoId, true);
          surroundings(*text, value);
        }
      };
      if (more->is_array()) {
        for (const json::value& value : more->get_array()) add_special(value);
      } else if (more->is_object()) {
        for (const auto& named : more->get_object()) add_special(named.value());
      }
    }
  }

  const std::string& error() const { return error_; }

 private:
  static std::optional<bool> flag(const json::value& entry, const char* name) {
    const json::value* value = entry.is_object() ? entry.get_object().if_contains(name) : nullptr;
    if (!value || !value->is_bool()) return std::nullopt;
    return value->get_bool();
  }
  static std::optional<bool> is_special(const json::value& entry) { return flag(entry, "special"); }

  // How the token takes what stands around it.
  void surroundings(const std::string& text, const json::value& entry) {
    AddedTokens::Token& token = added_.tokens[text];
    token.lstrip = flag(entry, "lstrip").value_or(token.lstrip);
    token.rstrip = flag(entry, "rstrip").value_or(token.rstrip);
    if (flag(entry, "single_word").value_or(false)) {
      fail("gives the token \"" + text + "\" \"single_word\": true, which is not supported");
    }
  }

  // A token is written as a string or as {"content": string, ...}.
  static std::optional<std::string> content(const json::value& value) {
    const json::value* text = &value;
    if (value.is_object()) text = value.get_object().if_contains("content");
    if (!text || !text->is_string()) return std::nullopt;
    return std::string(text->get_string());
  }

  std::optional<int32_t> as_id(const json::value& value) {
    if (value.is_int64() && value.get_int64() >= 0 && value.get_int64() <= INT32_MAX) {
      return static_cast<int32_t>(value.get_int64());
    }
    fail("expected a token id (a whole number from 0), found " + json::serialize(value));
    return std::nullopt;
  }

  void fail(const std::string& message) {
    if (error_.empty()) error_ = file_ + ": " + message;
  }

  AddedTokens& added_;
  std::string file_;
  std::string error_;
};

}  // namespace

Result<AddedTokens> read_added_tokens(const std::filesystem::path& checkpoint,
                                      const json::object& tokenizer_json) {
  AddedTokens added;
  const json::value* listed = tokenizer_json.if_contains("added_tokens");
  if (listed && listed->is_array()) {
    Reader reader(added, (checkpoint / "tokenizer.json").string());
    reader.added_tokens_list(listed->get_array());
    if (!reader.error().empty()) return internal_error(reader.error());
  }
  for (const char* name :
       {"added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    const std::filesystem::path path = checkpoint / name;
    if (!has_entry(path)) continue;
    Result<json::object> object = read_json_object(path);
    if (!object) return object.error();
    Reader reader(added, path.string());
    if (std::string_view(name) == "added_tokens.json") {
      reader.added_tokens_file(*object);
    } else {
      const json::value* decoder = object->if_contains("added_tokens_decoder");
      if (decoder && decoder->is_object()) reader.added_tokens_decoder(decoder->get_object());
      reader.roles_and_lists(*object);
    }
    if (!reader.error().empty()) return internal_error(reader.error());
  }
  return added;
}

}  // namespace ernie::text
