#include "http/wire/parse_common.h"
#include "http/wire/tool_reader.h"

// Tools of the chat API, in today's form and as functions.
namespace ernie::http {
namespace {

namespace json = boost::json;
using Form = ToolReader::Form;

// A value that asks for nothing is no conflict.
void refuse_beside_tools(FieldReader& fields, const char* key) {
  const json::value* value = fields.value(key);
  if (!value || (value->is_array() && value->as_array().empty()) || *value == "none") return;
  fields.fail(key, "cannot go with \"tools\"", "conflicting_parameters");
}

void read_chosen(FieldReader& fields, ToolReader& tools, const char* key, Form form) {
  const json::object* object = fields.object(key);
  if (!object) return;
  FieldReader reader(*object, std::string(key) + ".");
  const std::string type = reader.string("type", 64).value_or("function");
  if (form == Form::kWrapped && type == "allowed_tools") {
    if (const json::object* nested = reader.object("allowed_tools")) {
      const std::string name = std::string(key) + ".allowed_tools";
      FieldReader allowed(*nested, name + ".");
      tools.keep_allowed(allowed, name, form);
      reader.adopt(allowed);
    } else {
      reader.fail("allowed_tools", "is missing", "missing_required_parameter");
    }
  } else if (form == Form::kWrapped && type != "function") {
    reader.fail("type", "should be function or allowed_tools, got " + describe(json::value(type)));
  } else if (const auto name = ToolReader::name_in(reader, form)) {
    tools.require(fields, key);
    tools.keep({*name}, reader, form == Form::kWrapped ? "function" : "name");
  }
  fields.adopt(reader);
}

void read_choice(FieldReader& fields, ToolReader& tools, const char* key, Form form) {
  const json::value* choice = fields.value(key);
  if (!choice) return;
  if (*choice == "none") return tools.choose_none();
  if (*choice == "auto") return;
  if (*choice == "required" && form == Form::kWrapped) return tools.require(fields, key);
  if (choice->is_object()) return read_chosen(fields, tools, key, form);
  fields.fail(key, std::string("should be auto, none") +
                       (form == Form::kWrapped ? ", required" : "") + " or an object, got " +
                       describe(*choice));
}

}  // namespace

void parse_tools(FieldReader& fields, serve::ChatRequest* request, bool* functions_only) {
  ToolReader tools(fields, *request);
  tools.read_list("tools", Form::kWrapped);
  *functions_only = false;
  if (tools.has_tools()) {
    refuse_beside_tools(fields, "functions");
    refuse_beside_tools(fields, "function_call");
  } else {
    tools.read_list("functions", Form::kFunction);
    *functions_only = tools.has_tools();
    read_choice(fields, tools, "function_call", Form::kFunction);
  }
  read_choice(fields, tools, "tool_choice", Form::kWrapped);
  request->tool_use.parallel =
      fields.boolean("parallel_tool_calls").value_or(true) && !*functions_only;
  tools.finish();
}

}  // namespace ernie::http
