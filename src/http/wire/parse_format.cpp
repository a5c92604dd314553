#include <boost/json/serialize.hpp>
#include <utility>

#include "http/wire/parse_common.h"

// The spellings in use of "the answer must look like this": OpenAI's response_format and
// text.format, Anthropic's output_config.format, vLLM's structured_outputs, the guided_* fields of
// FastDeploy and of older vLLM, and llama.cpp's json_schema and grammar.
namespace ernie::http {
namespace {

namespace json = boost::json;
using grammar::GrammarKind;
using grammar::GrammarSpec;

constexpr size_t kMaxText = size_t{1} << 20;  // of a regular expression or grammar
constexpr size_t kMaxChoices = 100'000;

// What one request asks for; a second format is an error.
class Formats {
 public:
  explicit Formats(FieldReader& fields) : fields_(fields) {}

  void add(std::string field, GrammarSpec spec) {
    if (format_) {
      fields_.fail(field, "cannot go with " + format_->field + ": an answer has one format",
                   "conflicting_parameters");
      return;
    }
    format_ = serve::AnswerFormat{std::move(spec), std::move(field)};
  }

  void set_whitespace(const std::string& field, std::string pattern) {
    const bool is_json = format_ && (format_->grammar.kind == GrammarKind::kJsonSchema ||
                                     format_->grammar.kind == GrammarKind::kJsonObject);
    if (!is_json) return fields_.fail(field, "needs a JSON schema or a JSON object beside it");
    format_->grammar.whitespace = std::move(pattern);
  }

  std::optional<serve::AnswerFormat> take() {
    if (format_ && format_->grammar.whitespace.empty()) {
      format_->grammar.whitespace = serve::kJsonWhitespace;
    }
    return std::move(format_);
  }

 private:
  FieldReader& fields_;
  std::optional<serve::AnswerFormat> format_;
};

// A schema as an object, a boolean, or the text of one.
std::string schema_text(const json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : json::serialize(value);
}

// `where` stands before the keys in the names of fields.
void read_guides(FieldReader& reader, const std::string& where, const std::string& prefix,
                 Formats& formats) {
  const auto name = [&](const char* key) { return where + prefix + key; };
  const auto key_of = [&](const char* key) { return prefix + key; };
  if (const json::value* schema = reader.value(key_of("json"))) {
    formats.add(name("json"), {GrammarKind::kJsonSchema, schema_text(*schema)});
  }
  if (reader.boolean(key_of("json_object")).value_or(false)) {
    formats.add(name("json_object"), {GrammarKind::kJsonObject});
  }
  if (auto regex = reader.string(key_of("regex"), kMaxText)) {
    formats.add(name("regex"), {GrammarKind::kRegex, std::move(*regex)});
  }
  if (auto ebnf = reader.string(key_of("grammar"), kMaxText)) {
    formats.add(name("grammar"), {GrammarKind::kEbnf, std::move(*ebnf)});
  }
  if (auto choices = reader.strings(key_of("choice"), kMaxChoices, kMaxText); !choices.empty()) {
    formats.add(name("choice"), {.kind = GrammarKind::kChoice, .choices = std::move(choices)});
  }
}

void read_response_format(FieldReader& fields, Formats& formats) {
  const json::object* object = fields.object("response_format");
  if (object == nullptr) return;
  FieldReader reader(*object, "response_format.");
  const std::string type = reader.string("type", 64).value_or("text");
  if (type == "json_object") {
    const json::value* schema = reader.value("schema");  // llama.cpp and others
    if (schema == nullptr) {
      formats.add("response_format", {GrammarKind::kJsonObject});
    } else {
      formats.add("response_format.schema", {GrammarKind::kJsonSchema, schema_text(*schema)});
    }
  } else if (type == "json_schema") {
    const json::object* form = reader.object("json_schema");
    if (form == nullptr) {
      reader.fail("json_schema", "is missing", "missing_required_parameter");
    } else {
      FieldReader inner(*form, "response_format.json_schema.");
      inner.string("name", 256);
      inner.string("description", kMaxText);
      const json::value* schema = inner.value("schema");
      GrammarSpec spec{GrammarKind::kJsonSchema, schema ? schema_text(*schema) : ""};
      spec.strict = inner.boolean("strict").value_or(false);
      if (schema == nullptr) inner.fail("schema", "is missing", "missing_required_parameter");
      formats.add("response_format.json_schema.schema", std::move(spec));
      reader.adopt(inner);
    }
  } else if (type == "structural_tag") {
    formats.add("response_format", {GrammarKind::kStructuralTag, json::serialize(*object)});
  } else if (type != "text") {
    reader.fail("type", "should be text, json_object, json_schema or structural_tag, got " +
                            describe(json::value(type)));
  }
  fields.adopt(reader);
}

// {"type", "schema", "strict"} in `outer`, whose name in errors is `where`.
void read_flat_format(FieldReader& outer, const char* key, const std::string& where,
                      Formats& formats) {
  const json::object* object = outer.object(key);
  if (object == nullptr) return;
  const std::string name = where + key;
  FieldReader reader(*object, name + ".");
  const std::string type = reader.string("type", 64).value_or("");
  if (type == "json_object") {
    formats.add(name, {GrammarKind::kJsonObject});
  } else if (type == "json_schema") {
    const json::value* schema = reader.value("schema");
    if (schema == nullptr) reader.fail("schema", "is missing", "missing_required_parameter");
    GrammarSpec spec{GrammarKind::kJsonSchema, schema ? schema_text(*schema) : ""};
    spec.strict = reader.boolean("strict").value_or(false);
    formats.add(name + ".schema", std::move(spec));
  } else if (type != "text") {
    reader.fail("type",
                "should be text, json_object or json_schema, got " + describe(json::value(type)));
  }
  outer.adopt(reader);
}

}  // namespace

std::optional<serve::AnswerFormat> parse_format(FieldReader& fields) {
  Formats formats(fields);
  read_response_format(fields, formats);
  read_flat_format(fields, "output_format", "", formats);
  for (const std::string outer : {"output_config", "text"}) {
    if (const json::object* object = fields.object(outer)) {
      FieldReader reader(*object, outer + ".");
      read_flat_format(reader, "format", outer + ".", formats);
      reader.refuse("verbosity", "this server cannot do it", "medium");
      fields.adopt(reader);
    }
  }
  read_guides(fields, "", "guided_", formats);
  if (const json::object* object = fields.object("structured_outputs")) {
    FieldReader reader(*object, "structured_outputs.");
    read_guides(reader, "structured_outputs.", "", formats);
    if (const json::value* tag = reader.value("structural_tag")) {
      formats.add("structured_outputs.structural_tag",
                  {GrammarKind::kStructuralTag, schema_text(*tag)});
    }
    if (auto pattern = reader.string("whitespace_pattern", kMaxText)) {
      formats.set_whitespace("structured_outputs.whitespace_pattern", std::move(*pattern));
    }
    fields.adopt(reader);
  }
  if (const json::value* tag = fields.value("structural_tag")) {
    formats.add("structural_tag", {GrammarKind::kStructuralTag, schema_text(*tag)});
  }
  if (const json::value* schema = fields.value("json_schema")) {
    formats.add("json_schema", {GrammarKind::kJsonSchema, schema_text(*schema)});
  }
  if (auto ebnf = fields.string("grammar", kMaxText); ebnf && !ebnf->empty()) {
    formats.add("grammar", {GrammarKind::kEbnf, std::move(*ebnf)});
  }
  if (auto pattern = fields.string("guided_whitespace_pattern", kMaxText)) {
    formats.set_whitespace("guided_whitespace_pattern", std::move(*pattern));
  }
  return formats.take();
}

}  // namespace ernie::http
