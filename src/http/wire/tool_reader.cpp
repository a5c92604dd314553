#include "http/wire/tool_reader.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cctype>
#include <utility>

namespace ernie::http {

namespace json = boost::json;

namespace {

constexpr size_t kMaxTools = 1024;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxText = size_t{1} << 20;  // of all functions together, as JSON

bool is_name(const std::string& name) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

void ToolReader::read_list(const std::string& key, Form form) {
  const json::array* list = fields_.array(key);
  if (!list) return;
  if (list->size() > kMaxTools) {
    return fields_.fail(key, "has " + std::to_string(list->size()) + " entries; at most " +
                                 std::to_string(kMaxTools) + " are allowed");
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string name = key + "[" + std::to_string(i) + "]";
    const json::object* entry = (*list)[i].if_object();
    if (!entry) return fields_.fail(name, "should be an object, got " + describe((*list)[i]));
    read_tool(*entry, name, form);
  }
}

void ToolReader::read_tool(const json::object& tool, const std::string& name, Form form) {
  if (form == Form::kFunction) return read_function(tool, name, form);
  FieldReader reader(tool, name + ".");
  const std::string only = form == Form::kSchema ? "custom" : "function";
  const std::string type = reader.string("type", 64).value_or(only);
  if (type != only) {
    reader.fail("type",
                "is " + describe(json::value(type)) + "; only \"" + only + "\" is supported",
                "unsupported_parameter");
  } else if (form != Form::kWrapped) {
    read_function(tool, name, form);
  } else if (const json::object* function = reader.object("function")) {
    read_function(*function, name + ".function", form);
  } else {
    reader.fail("function", "is missing", "missing_required_parameter");
  }
  fields_.adopt(reader);
}

void ToolReader::read_function(const json::object& function, const std::string& name, Form form) {
  FieldReader reader(function, name + ".");
  grammar::ToolSpec tool;
  const auto given = reader.string("name", kMaxName);
  tool.name = given.value_or("");
  if (!given) {
    reader.fail("name", "is missing", "missing_required_parameter");
  } else if (!is_name(tool.name)) {
    reader.fail("name", "should be 1 to " + std::to_string(kMaxName) +
                            " letters, digits, '_', '-' and '.', got " +
                            describe(json::value(tool.name)));
  } else if (!names_.insert(tool.name).second) {
    reader.fail("name", "is " + describe(json::value(tool.name)) +
                            ", which another function is called as well");
  }
  json::object shown{{"name", tool.name}};
  if (const auto text = reader.string("description", kMaxText)) shown["description"] = *text;
  const char* key = form == Form::kSchema ? "input_schema" : "parameters";
  if (const json::object* parameters = reader.object(key)) {
    tool.parameters = json::serialize(*parameters);
    shown["parameters"] = *parameters;
  }
  bytes_ += json::serialize(shown).size();
  if (bytes_ > kMaxText) {
    fields_.fail(name, "and what stands before it take " + std::to_string(bytes_) +
                           " bytes; at most " + std::to_string(kMaxText) + " are allowed");
  }
  tool.strict = reader.boolean("strict").value_or(false);
  tool.field = name + "." + key;
  request_.tool_use.guaranteed |= tool.strict;
  request_.tool_use.tools.push_back(std::move(tool));
  for_template_.push_back(json::object{{"type", "function"}, {"function", std::move(shown)}});
  fields_.adopt(reader);
}

std::optional<std::string> ToolReader::name_in(FieldReader& reader, Form form) {
  const char* key = form == Form::kWrapped ? "function" : "name";
  const json::value* name = reader.value("name");
  if (form == Form::kWrapped && reader.value(key)) {
    const json::object* function = reader.object(key);
    name = function ? function->if_contains("name") : nullptr;
  }
  if (name && name->is_string()) return std::string(name->as_string());
  reader.fail(key, "should name a function", "missing_required_parameter");
  return std::nullopt;
}

void ToolReader::require(FieldReader& reader, const char* key) {
  if (!has_tools()) reader.fail(key, "needs functions to call, and the request has none");
  request_.tool_use.required = true;
  request_.tool_use.guaranteed = true;
}

void ToolReader::keep(const std::set<std::string>& names, FieldReader& reader, const char* key) {
  for (const std::string& name : names) {
    if (!names_.contains(name)) {
      return reader.fail(key, "names " + describe(json::value(name)) +
                                  ", which is not among the functions of the request");
    }
  }
  std::erase_if(request_.tool_use.tools,
                [&](const grammar::ToolSpec& tool) { return !names.contains(tool.name); });
  request_.tool_use.guaranteed = true;
}

void ToolReader::keep_allowed(FieldReader& allowed, const std::string& name, Form form) {
  const std::string mode = allowed.string("mode", 16).value_or("auto");
  if (mode == "required") {
    require(allowed, "mode");
  } else if (mode != "auto") {
    allowed.fail("mode", "should be auto or required, got " + describe(json::value(mode)));
  }
  const json::array* tools = allowed.array("tools");
  if (!tools || tools->empty()) return allowed.fail("tools", "should list at least one tool");
  std::set<std::string> names;
  for (size_t i = 0; i < tools->size(); ++i) {
    const json::object* tool = (*tools)[i].if_object();
    if (!tool) return allowed.fail("tools", "should be a list of objects");
    FieldReader entry(*tool, name + ".tools[" + std::to_string(i) + "].");
    if (const auto each = name_in(entry, form)) names.insert(*each);
    allowed.adopt(entry);
  }
  if (allowed.status()) keep(names, allowed, "tools");
}

void ToolReader::finish() {
  if (none_) {
    request_.tool_use = {};
  } else if (!for_template_.empty()) {
    request_.chat.tools = std::move(for_template_);
  }
}

}  // namespace ernie::http
