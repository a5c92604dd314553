#include "arguments.h"

#include <yaml-cpp/yaml.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cstdint>
#include <set>

#include "base/result.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

bool is_negative_number(const std::string& text) {
  return text.size() > 1 && text[0] == '-' &&
         text.find_first_not_of("0123456789.", 1) == std::string::npos;
}

// A scalar keeps the type that YAML's core schema gives it.
json::value to_json(const YAML::Node& node) {
  if (node.IsMap()) {
    json::object out;
    for (const auto& item : node) out[item.first.as<std::string>()] = to_json(item.second);
    return out;
  }
  if (node.IsSequence()) {
    json::array out;
    for (const auto& item : node) out.push_back(to_json(item));
    return out;
  }
  if (node.IsNull()) return nullptr;
  if (node.Tag() != "!") {  // not quoted
    if (int64_t value; YAML::convert<int64_t>::decode(node, value)) return value;
    if (double value; YAML::convert<double>::decode(node, value)) return value;
    if (bool value; YAML::convert<bool>::decode(node, value)) return value;
  }
  return json::value(node.as<std::string>());
}

void append_flag(const std::string& name, const YAML::Node& node, std::vector<std::string>& out) {
  const std::string flag = "--" + name;
  if (node.IsSequence()) {
    for (const auto& item : node) append_flag(name, item, out);
  } else if (node.IsMap()) {
    out.push_back(flag + "=" + json::serialize(to_json(node)));
  } else if (!node.IsNull()) {
    out.push_back(flag + "=" + node.as<std::string>());
  }
}

bool is_number(const std::string& text, bool whole) {
  int integer = 0;
  double real = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] =
      whole ? std::from_chars(text.data(), end, integer) : std::from_chars(text.data(), end, real);
  return error == std::errc() && rest == end;
}

// CLI11 takes "" for 0 and says of what it does not take only that.
void check_numbers(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    const bool whole = option->get_type_name() == "INT";
    if (!whole && option->get_type_name() != "FLOAT") continue;
    for (const std::string& text : option->results()) {
      if (is_number(text, whole)) continue;
      throw StartError(option->get_name() + " is \"" + text + "\"; it must be a " +
                       (whole ? "whole number up to 2147483647" : "number"));
    }
  }
}

std::string positive_name(std::string name) {
  return name.rfind("no-", 0) == 0 ? name.substr(3) : name;
}

}  // namespace

std::string flag_name(const std::string& argument) {
  if (argument.rfind("--", 0) != 0 || argument.size() == 2) return {};
  std::string name = argument.substr(2, argument.find('=') - 2);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::vector<std::string> normalize(std::vector<std::string> args) {
  std::vector<std::string> out;
  for (std::string& arg : args) {
    if (arg == "-tp" || arg.rfind("-tp=", 0) == 0) arg = "--tensor-parallel-size" + arg.substr(3);
    const std::string name = flag_name(arg);
    if (!name.empty()) {
      const size_t equals = arg.find('=');
      arg = "--" + name + (equals == std::string::npos ? "" : arg.substr(equals));
    }
    const bool joins = is_negative_number(arg) && !out.empty() && !flag_name(out.back()).empty() &&
                       out.back().find('=') == std::string::npos;
    if (joins)
      out.back() += "=" + arg;
    else
      out.push_back(std::move(arg));
  }
  return out;
}

void parse_arguments(CLI::App& app, std::vector<std::string> args, const char* command) {
  std::reverse(args.begin(), args.end());  // the order that CLI11 takes
  try {
    app.parse(std::move(args));
  } catch (const CLI::CallForHelp&) {
    throw;
  } catch (const CLI::ConversionError& e) {
    check_numbers(app);
    throw StartError(std::string(e.what()) + " (see ernie " + command + " --help)");
  } catch (const CLI::ParseError& e) {
    throw StartError(std::string(e.what()) + " (see ernie " + command + " --help)");
  }
  check_numbers(app);
}

std::string check_uint64(const std::string& text) {
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec == std::errc() && end == text.data() + text.size()) return {};
  return text + " is not a number from 0 to " + std::to_string(UINT64_MAX);
}

std::vector<std::string> read_config_file(const std::string& path,
                                          const std::vector<std::string>& args,
                                          const std::function<bool(const std::string&)>& is_flag) {
  YAML::Node file;
  try {
    file = YAML::LoadFile(path);
  } catch (const YAML::BadFile&) {
    throw StartError("--config: cannot read " + path);
  } catch (const YAML::Exception& e) {
    throw StartError("--config: " + path + ", line " + std::to_string(e.mark.line + 1) + ": " +
                     e.msg);
  }
  if (!file.IsMap())
    throw StartError("--config: " + path + " must be a map of flag names and values");
  std::set<std::string> given;
  for (const std::string& arg : args) given.insert(positive_name(flag_name(arg)));
  std::vector<std::string> out;
  for (const auto& item : file) {
    const std::string name = flag_name("--" + item.first.as<std::string>());
    if (name == "config" || !is_flag(name))
      throw StartError("--config: " + path + " has the unknown key \"" +
                       item.first.as<std::string>() + "\"; keys are the names of flags");
    if (!given.count(positive_name(name))) append_flag(name, item.second, out);
  }
  return out;
}

}  // namespace ernie::app
