#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <string>

#include "http/wire/field_reader.h"
#include "serve/request.h"

namespace ernie::http {

// Reads the functions of one request, in the forms of all APIs, and what may be called of them.
// Errors go to the readers.
class ToolReader {
 public:
  enum class Form {
    kWrapped,   // {"type": "function", "function": {"name", "parameters", ...}}
    kFlat,      // {"type": "function", "name", "parameters", ...}
    kFunction,  // {"name", "parameters", ...}
    kSchema,    // {"name", "input_schema", ...}
  };

  ToolReader(FieldReader& fields, serve::ChatRequest& request)
      : fields_(fields), request_(request) {}

  void read_list(const std::string& key, Form form);
  bool has_tools() const { return !names_.empty(); }

  // The choices. `key` names the field in `reader` that says so.
  void choose_none() { none_ = true; }
  void require(FieldReader& reader, const char* key);
  // Of the functions only these may be called; all are still shown to the model.
  void keep(const std::set<std::string>& names, FieldReader& reader, const char* key);
  // {"mode", "tools": [...]} of entries in `form`; `name` is that of the object in errors.
  void keep_allowed(FieldReader& allowed, const std::string& name, Form form);

  // The name in {"function": {"name"}} or {"name"}.
  static std::optional<std::string> name_in(FieldReader& reader, Form form);

  // Fills the request's template input and its tool use.
  void finish();

 private:
  void read_tool(const boost::json::object& tool, const std::string& name, Form form);
  void read_function(const boost::json::object& function, const std::string& name, Form form);

  FieldReader& fields_;
  serve::ChatRequest& request_;
  boost::json::array for_template_;
  std::set<std::string> names_;
  size_t bytes_ = 0;
  bool none_ = false;
};

}  // namespace ernie::http
