#include <boost/json/serialize.hpp>
#include <set>
#include <utility>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxTools = 1024;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxText = size_t{1} << 20;

bool is_name(const std::string& name) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed);
}

// Reads the tools of one request and what may be called of them.
class ToolReader {
 public:
  ToolReader(FieldReader& fields, serve::ChatRequest& request)
      : fields_(fields), request_(request) {}

  void read() {
    read_list("tools", true);
    functions_only_ = request_.tool_use.tools.empty();
    if (functions_only_) {
      read_list("functions", false);
      functions_only_ = !request_.tool_use.tools.empty();
      read_choice("function_call", false);
    } else {
      refuse_beside_tools("functions");
      refuse_beside_tools("function_call");
    }
    read_choice("tool_choice", true);
    request_.tool_use.parallel =
        fields_.boolean("parallel_tool_calls").value_or(true) && !functions_only_;
    finish();
  }

  bool functions_only() const { return functions_only_; }

 private:
  // A value that asks for nothing is no conflict.
  void refuse_beside_tools(const char* key) {
    const json::value* value = fields_.value(key);
    if (!value || (value->is_array() && value->as_array().empty()) || *value == "none") return;
    fields_.fail(key, "cannot go with \"tools\"", "conflicting_parameters");
  }

  void read_list(const std::string& key, bool wrapped) {
    const json::array* list = fields_.array(key);
    if (!list) return;
    if (list->size() > kMaxTools) {
      return fields_.fail(key, "has " + std::to_string(list->size()) + " entries; at most " +
                                   std::to_string(kMaxTools) + " are allowed");
    }
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string name = key + "[" + std::to_string(i) + "]";
      const json::object* entry = (*list)[i].if_object();
      if (!entry) {
        return fields_.fail(name, "should be an object, got " + describe((*list)[i]));
      }
      wrapped ? read_tool(*entry, name) : read_function(*entry, name);
    }
  }

  void read_tool(const json::object& tool, const std::string& name) {
    FieldReader reader(tool, name + ".");
    const auto type = reader.string("type", 64);
    if (type.value_or("function") != "function") {
      reader.fail("type", "is " + describe(json::value(*type)) + "; only \"function\" is supported",
                  "unsupported_parameter");
    } else if (const json::object* function = reader.object("function")) {
      read_function(*function, name + ".function");
    } else {
      reader.fail("function", "is missing", "missing_required_parameter");
    }
    fields_.adopt(reader);
  }

  void read_function(const json::object& function, const std::string& name) {
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
    reader.string("description", kMaxText);
    if (const json::object* parameters = reader.object("parameters")) {
      tool.parameters = json::serialize(*parameters);
    }
    tool.strict = reader.boolean("strict").value_or(false);
    tool.field = name + ".parameters";
    request_.tool_use.guaranteed |= tool.strict;
    request_.tool_use.tools.push_back(std::move(tool));
    for_template_.push_back(json::object{{"type", "function"}, {"function", function}});
    fields_.adopt(reader);
  }

  void read_choice(const char* key, bool wrapped) {
    const json::value* choice = fields_.value(key);
    if (!choice) return;
    if (choice->is_string()) {
      const std::string_view word = choice->as_string();
      if (word == "none") {
        none_ = true;
      } else if (word == "required" && wrapped) {
        require(key);
      } else if (word != "auto") {
        fields_.fail(key, std::string("should be ") +
                              (wrapped ? "auto, none, required" : "auto, none") +
                              " or an object, got " + describe(*choice));
      }
      return;
    }
    if (!choice->is_object()) {
      return fields_.fail(key, "should be a word or an object, got " + describe(*choice));
    }
    FieldReader reader(choice->as_object(), std::string(key) + ".");
    const std::string type = reader.string("type", 64).value_or("function");
    if (wrapped && type == "allowed_tools") {
      read_allowed(reader, key);
    } else if (wrapped && type != "function") {
      reader.fail("type",
                  "should be function or allowed_tools, got " + describe(json::value(type)));
    } else if (const auto name = name_in(reader, wrapped)) {
      require(key);
      keep({*name}, reader, wrapped ? "function" : "name");
    }
    fields_.adopt(reader);
  }

  // {"function": {"name": ...}}, or the name at once.
  static std::optional<std::string> name_in(FieldReader& reader, bool wrapped) {
    if (!wrapped) {
      auto name = reader.string("name", kMaxName);
      if (!name) reader.fail("name", "is missing", "missing_required_parameter");
      return name;
    }
    const json::object* function = reader.object("function");
    const json::value* name = function ? function->if_contains("name") : reader.value("name");
    if (name && name->is_string()) return std::string(name->as_string());
    reader.fail("function", "should have a \"name\"", "missing_required_parameter");
    return std::nullopt;
  }

  void read_allowed(FieldReader& reader, const char* key) {
    const json::object* nested = reader.object("allowed_tools");
    if (!nested) return reader.fail("allowed_tools", "is missing", "missing_required_parameter");
    FieldReader allowed(*nested, std::string(key) + ".allowed_tools.");
    const std::string mode = allowed.string("mode", 16).value_or("auto");
    if (mode == "required") {
      require(key);
    } else if (mode != "auto") {
      allowed.fail("mode", "should be auto or required, got " + describe(json::value(mode)));
    }
    const json::array* tools = allowed.array("tools");
    if (!tools || tools->empty()) allowed.fail("tools", "should list at least one tool");
    std::set<std::string> names;
    for (size_t i = 0; tools && i < tools->size(); ++i) {
      const json::object* tool = (*tools)[i].if_object();
      if (!tool) {
        allowed.fail("tools", "should be a list of objects");
        break;
      }
      FieldReader entry(*tool,
                        std::string(key) + ".allowed_tools.tools[" + std::to_string(i) + "].");
      if (const auto name = name_in(entry, true)) names.insert(*name);
      allowed.adopt(entry);
    }
    if (allowed.status()) keep(names, allowed, "tools");
    reader.adopt(allowed);
  }

  void require(const char* key) {
    if (request_.tool_use.tools.empty()) {
      fields_.fail(key,
                   functions_only_ ? "needs \"functions\" to call" : "needs \"tools\" to call");
    }
    request_.tool_use.required = true;
    request_.tool_use.guaranteed = true;
  }

  // Of the tools only these may be called; all are still shown to the model.
  void keep(const std::set<std::string>& names, FieldReader& reader, const char* key) {
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

  void finish() {
    if (none_) {
      request_.tool_use = {};
    } else if (!for_template_.empty()) {
      request_.chat.tools = std::move(for_template_);
    }
  }

  FieldReader& fields_;
  serve::ChatRequest& request_;
  json::array for_template_;
  std::set<std::string> names_;
  bool functions_only_ = false;
  bool none_ = false;
};

}  // namespace

void parse_tools(FieldReader& fields, serve::ChatRequest* request, bool* functions_only) {
  ToolReader reader(fields, *request);
  reader.read();
  *functions_only = reader.functions_only();
}

}  // namespace ernie::http
