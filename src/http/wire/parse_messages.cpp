#include <boost/json/serialize.hpp>
#include <utility>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxFrames = 1024;

std::string role_of(const std::string& role) {
  if (role == "bot") return "assistant";
  if (role == "developer") return "system";
  if (role == "function") return "tool";
  return role;
}

// "data:video/jpeg;base64,F1,F2,..." holds the frames of a video as JPEG files.
std::vector<std::string> split_frames(const std::string& url) {
  constexpr std::string_view kPrefix = "data:video/jpeg;base64,";
  if (!url.starts_with(kPrefix)) return {};
  std::vector<std::string> frames;
  size_t begin = kPrefix.size();
  while (frames.size() <= kMaxFrames) {
    const size_t comma = url.find(',', begin);
    frames.push_back("data:image/jpeg;base64," + url.substr(begin, comma - begin));
    if (comma == std::string::npos) break;
    begin = comma + 1;
  }
  return frames;
}

// Names and ranges as FastDeploy's, which takes them beside `video_url` or, like other servers,
// beside `url`; what they mean together is checked where a video is sampled.
void read_frame_choice(FieldReader& fields, text::FrameChoice& out) {
  const auto read = [&](const char* key, auto& field, auto value) {
    if (value && field) fields.fail(key, "stands beside video_url and in it; choose one place");
    if (value) field = value;
  };
  const auto frames = [&](const char* key) -> std::optional<int> {
    const auto count = fields.integer(key, -1, 10'000);
    return count ? std::optional<int>(static_cast<int>(*count)) : std::nullopt;
  };
  read("fps", out.fps, fields.number("fps", -1, 1'000));
  read("min_frames", out.min_frames, frames("min_frames"));
  read("max_frames", out.max_frames, frames("max_frames"));
  read("target_frames", out.target_frames, frames("target_frames"));
  read("frames_sample", out.frames_sample, fields.string("frames_sample", kMaxNameBytes));
}

// Of a video that comes as frames none is left out.
void check_frame_choice(FieldReader& fields, const text::FrameChoice& choice, bool is_file) {
  if (is_file) return;
  if (choice.fps == 0.0) fields.fail("fps", "is 0; it should be more, or -1");
  for (const char* key : {"min_frames", "max_frames", "target_frames", "frames_sample"}) {
    fields.refuse(key, "it chooses frames of a video file, and this video comes as frames", -1);
  }
}

// What is left in the part of a picture or video, or in its URL's object, may be meant to change
// what the model sees, and is not passed over. Notes do not change it: how closely to look, what
// the file itself says better, and what caches of other servers want to know.
void refuse_rest(FieldReader& fields, const text::ChatPart& part) {
  for (const char* note :
       {"detail", "format", "media_type", "mime_type", "name", "uuid", "cache_control"}) {
    fields.value(note);
  }
  fields.refuse_unread(part.kind == text::PartKind::kVideo
                           ? "choose frames with fps, min_frames, max_frames, target_frames and "
                             "frames_sample, sizes with --mm-processor-kwargs"
                           : "a picture has a url; choose sizes with --mm-processor-kwargs");
}

// The URL of an image_url or video_url field: an object with "url", or the URL itself.
std::optional<std::string> url_of(FieldReader& part, const char* key) {
  const json::value* value = part.value(key);
  if (!value) {
    part.fail(key, "is missing", "missing_required_parameter");
    return std::nullopt;
  }
  if (value->is_string()) return std::string(value->as_string());
  if (value->is_object()) {
    const json::value* url = value->as_object().if_contains("url");
    if (url && url->is_string()) return std::string(url->as_string());
  }
  part.fail(key, "should be {\"url\": \"...\"}");
  return std::nullopt;
}

// What is said beside the URL, within its object and beside that.
void read_around_url(FieldReader& part, const char* key, text::ChatPart& out) {
  const bool is_video = out.kind == text::PartKind::kVideo;
  const auto read = [&](FieldReader& fields) {
    if (is_video) read_frame_choice(fields, out.frames);
    if (is_video) check_frame_choice(fields, out.frames, out.is_video_file);
    refuse_rest(fields, out);
  };
  if (const json::value* value = part.value(key); value && value->is_object()) {
    FieldReader inner(value->as_object(), part.prefix() + key + ".");
    inner.value("url");
    read(inner);
    part.adopt(inner);
  }
  read(part);
}

void check_frames(FieldReader& part, const char* key, const std::vector<std::string>& frames) {
  if (frames.empty() || frames.size() > kMaxFrames) {
    part.fail(key,
              "should have 1 to " + std::to_string(kMaxFrames) + " frames, got " +
                  (frames.empty() ? "none" : "more"),
              frames.empty() ? "invalid_value" : "too_many_frames");
  }
}

Result<text::ChatPart> parse_part(const json::value& value, const std::string& name) {
  if (!value.is_object()) {
    return invalid_argument(name + " should be an object with a \"type\", got " + describe(value),
                            name);
  }
  FieldReader part(value.as_object(), name + ".");
  const auto type = part.string("type", 64);
  text::ChatPart out;
  if (!type) {
    part.fail("type", "is missing", "missing_required_parameter");
  } else if (*type == "text") {
    auto text = part.string("text", kMaxTextBytes);
    if (!text) part.fail("text", "is missing", "missing_required_parameter");
    out.text = text.value_or("");
  } else if (*type == "image_url") {
    out.kind = text::PartKind::kImage;
    if (auto url = url_of(part, "image_url")) {
      out.urls.push_back(std::move(*url));
      read_around_url(part, "image_url", out);
    }
  } else if (*type == "video_url") {
    out.kind = text::PartKind::kVideo;
    if (auto url = url_of(part, "video_url")) {
      out.urls = split_frames(*url);
      out.is_video_file = out.urls.empty();
      if (out.is_video_file) out.urls.push_back(std::move(*url));
      check_frames(part, "video_url", out.urls);
      read_around_url(part, "video_url", out);
    }
  } else if (*type == "video") {
    out.kind = text::PartKind::kVideo;
    out.urls = part.strings("video", kMaxFrames, kMaxTextBytes);
    check_frames(part, "video", out.urls);
    read_around_url(part, "video", out);
  } else {
    part.fail("type", "is " + describe(json::value(*type)) +
                          "; known types are text, image_url, video_url and video");
  }
  if (auto status = part.status(); !status) return status.error();
  return out;
}

// {"name", "arguments"}, the latter as JSON text or as the object itself.
void read_function(FieldReader& function, const std::string& id, text::ChatMessage& message) {
  const auto name = function.string("name", kMaxNameBytes);
  const json::value* arguments = function.value("arguments");
  std::string text = "{}";
  if (arguments) {
    text =
        arguments->is_string() ? std::string(arguments->as_string()) : json::serialize(*arguments);
  }
  add_call(function, id, name, text, message);
}

// The calls of a past answer: a list, or one in the older form.
void parse_calls(FieldReader& fields, const std::string& name, text::ChatMessage& message) {
  const json::array* calls = fields.array("tool_calls");
  for (size_t i = 0; calls && i < calls->size(); ++i) {
    const std::string place = name + ".tool_calls[" + std::to_string(i) + "]";
    const json::object* call = (*calls)[i].if_object();
    const json::value* function = call ? call->if_contains("function") : nullptr;
    if (!function || !function->is_object()) {
      fields.fail("tool_calls", "[" + std::to_string(i) + "] should have a \"function\"");
      break;
    }
    FieldReader reader(*call, place + ".");
    FieldReader inner(function->as_object(), place + ".function.");
    read_function(inner, reader.string("id", kMaxNameBytes).value_or(""), message);
    reader.adopt(inner);
    fields.adopt(reader);
  }
  if (const json::object* function = fields.object("function_call")) {
    FieldReader inner(*function, name + ".function_call.");
    read_function(inner, "", message);
    fields.adopt(inner);
  }
}

Status parse_content(const json::value* content, const std::string& name,
                     text::ChatMessage* message) {
  if (!content) {
    if (message->role == "assistant") return {};
    return invalid_argument(name + " is missing", name, "missing_required_parameter");
  }
  if (content->is_string()) {
    message->parts.push_back({text::PartKind::kText, std::string(content->as_string()), {}});
    return {};
  }
  if (!content->is_array()) {
    return invalid_argument(
        name + " should be a string or a list of parts, got " + describe(*content), name);
  }
  const auto& parts = content->as_array();
  for (size_t i = 0; i < parts.size(); ++i) {
    auto part = parse_part(parts[i], name + "[" + std::to_string(i) + "]");
    if (!part) return part.error();
    message->parts.push_back(std::move(*part));
  }
  return {};
}

}  // namespace

void add_call(FieldReader& call, const std::string& id, const std::optional<std::string>& name,
              const std::string& arguments, text::ChatMessage& message) {
  if (!name) call.fail("name", "is missing", "missing_required_parameter");
  if (!message.tool_calls.is_array()) message.tool_calls = json::array();
  message.tool_calls.as_array().push_back(
      {{"id", id},
       {"type", "function"},
       {"function", {{"name", name.value_or("")}, {"arguments", arguments}}}});
}

Result<std::vector<text::ChatMessage>> parse_messages(const json::array& messages) {
  std::vector<text::ChatMessage> out;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string name = "messages[" + std::to_string(i) + "]";
    if (!messages[i].is_object()) {
      return invalid_argument(name + " should be an object, got " + describe(messages[i]), name);
    }
    FieldReader fields(messages[i].as_object(), name + ".");
    text::ChatMessage message;
    const auto role = fields.string("role", 64);
    if (!role) fields.fail("role", "is missing", "missing_required_parameter");
    message.role = role_of(role.value_or(""));
    if (role && message.role != "system" && message.role != "user" && message.role != "assistant" &&
        message.role != "tool") {
      fields.fail("role", "is " + describe(json::value(*role)) +
                              "; known roles are system, user, assistant and tool");
    }
    message.reasoning_content = fields.string("reasoning_content", kMaxTextBytes).value_or("");
    message.name = fields.string("name", kMaxNameBytes).value_or("");
    message.tool_call_id = fields.string("tool_call_id", kMaxNameBytes).value_or("");
    parse_calls(fields, name, message);
    const json::value* content = fields.value("content");
    if (auto status = fields.status(); !status) return status.error();
    if (auto status = parse_content(content, name + ".content", &message); !status)
      return status.error();
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace ernie::http
