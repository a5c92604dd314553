#include <array>
#include <utility>

#include "http/wire/parse_common.h"

// The spellings in use of "think, and this much": FastDeploy's enable_thinking and
// reasoning_max_tokens, OpenAI's reasoning_effort, OpenRouter's reasoning, Anthropic's thinking and
// output_config.effort, and vLLM's budgets.
namespace ernie::http {
namespace {

namespace json = boost::json;

struct Effort {
  std::string_view name;
  double share;  // of max_tokens that thinking may take; 0: no thinking
};
constexpr std::array<Effort, 7> kEfforts = {{{"none", 0.0},
                                             {"minimal", 0.1},
                                             {"low", 0.2},
                                             {"medium", 0.5},
                                             {"high", 0.8},
                                             {"xhigh", 0.9},
                                             {"max", 0.95}}};

class ThinkingReader {
 public:
  ThinkingReader(FieldReader& fields, serve::ChatRequest& request)
      : fields_(fields), request_(request) {}

  void read() {
    if (auto on = fields_.boolean("enable_thinking")) set_thinking(fields_, "enable_thinking", *on);
    read_effort(fields_, "reasoning_effort");
    // This one says how much, if at all.
    if (const json::object* config = fields_.object("output_config")) {
      FieldReader reader(*config, "output_config.");
      effort_in(reader, "effort");
      fields_.adopt(reader);
    }
    for (const char* key : {"reasoning_max_tokens", "thinking_budget", "thinking_token_budget"}) {
      if (auto budget = fields_.integer(key, 0, INT32_MAX)) set_budget(fields_, key, *budget);
    }
    read_thinking();
    read_reasoning();
  }

 private:
  void set_thinking(FieldReader& reader, std::string_view key, bool on) {
    std::optional<bool>& thinking = request_.chat.enable_thinking;
    if (thinking && *thinking != on) {
      return reader.fail(key,
                         "says that the model should " + std::string(on ? "" : "not ") +
                             "think; another field of the request says the opposite",
                         "conflicting_parameters");
    }
    thinking = on;
  }

  void set_budget(FieldReader& reader, std::string_view key, int64_t budget) {
    std::optional<int>& most = request_.reasoning_limit.tokens;
    if (most && *most != budget) {
      return reader.fail(key,
                         "is " + std::to_string(budget) + "; another field of the request says " +
                             std::to_string(*most),
                         "conflicting_parameters");
    }
    most = static_cast<int>(budget);
  }

  // Sets the share of thinking; the effort's own is given back.
  std::optional<double> effort_in(FieldReader& reader, const char* key) {
    const auto word = reader.string(key, 16);
    if (!word) return std::nullopt;
    std::string known;
    for (const Effort& effort : kEfforts) {
      if (effort.name == *word) {
        if (effort.share > 0) request_.reasoning_limit.share = effort.share;
        return effort.share;
      }
      known += (known.empty() ? "" : ", ") + std::string(effort.name);
    }
    reader.fail(key, "should be one of " + known + ", got " + describe(json::value(*word)));
    return std::nullopt;
  }

  void read_effort(FieldReader& reader, const char* key) {
    if (const auto share = effort_in(reader, key)) set_thinking(reader, key, *share > 0);
  }

  void read_thinking() {
    const json::object* thinking = fields_.object("thinking");
    if (!thinking) return;
    FieldReader reader(*thinking, "thinking.");
    const std::string type = reader.string("type", 16).value_or("enabled");
    if (type == "enabled" || type == "disabled") {
      set_thinking(reader, "type", type == "enabled");
    } else if (type != "adaptive" && type != "auto") {
      reader.fail("type",
                  "should be enabled, disabled or adaptive, got " + describe(json::value(type)));
    }
    if (auto budget = reader.integer("budget_tokens", 0, INT32_MAX)) {
      set_budget(reader, "budget_tokens", *budget);
    }
    fields_.adopt(reader);
  }

  void read_reasoning() {
    const json::object* reasoning = fields_.object("reasoning");
    if (!reasoning) return;
    FieldReader reader(*reasoning, "reasoning.");
    read_effort(reader, "effort");
    if (auto on = reader.boolean("enabled")) set_thinking(reader, "enabled", *on);
    if (auto budget = reader.integer("max_tokens", 0, INT32_MAX)) {
      set_budget(reader, "max_tokens", *budget);
    }
    reader.refuse("exclude", "reasoning is always part of the answer");
    fields_.adopt(reader);
  }

  FieldReader& fields_;
  serve::ChatRequest& request_;
};

}  // namespace

void parse_thinking(FieldReader& fields, serve::ChatRequest* request) {
  ThinkingReader(fields, *request).read();
}

}  // namespace ernie::http
