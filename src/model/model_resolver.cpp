#include "model/model_resolver.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace ernie::model {
namespace {

namespace fs = std::filesystem;

struct HubName {
  std::string owner;
  std::string name;
  std::string text() const { return owner + "/" + name; }
};

bool plain_word(const std::string& word) {
  return !word.empty() && word[0] != '.' &&
         word.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string::npos;
}

std::optional<HubName> parse_hub_name(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  HubName hub{text.substr(0, slash), text.substr(slash + 1)};
  if (!plain_word(hub.owner) || !plain_word(hub.name)) return std::nullopt;
  return hub;
}

// The same models live under "baidu" at Hugging Face and under "PaddlePaddle" at AI Studio and
// ModelScope.
std::vector<HubName> aliases(const HubName& hub) {
  std::vector<HubName> names{hub};
  if (hub.owner == "baidu") names.push_back({"PaddlePaddle", hub.name});
  if (hub.owner == "PaddlePaddle") names.push_back({"baidu", hub.name});
  return names;
}

bool is_model_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "config.json", ignored);
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

class CacheSearch {
 public:
  explicit CacheSearch(const Environment& environment) : environment_(environment) {
    home_ = environment("HOME").value_or("/");
    cache_ = environment("XDG_CACHE_HOME").value_or(home_ / ".cache");
  }

  std::optional<fs::path> find(const HubName& hub) {
    for (const HubName& name : aliases(hub)) {
      if (auto found = hugging_face(name)) return found;
      if (auto found = model_scope(name)) return found;
      if (auto found = ai_studio(name)) return found;
    }
    return std::nullopt;
  }

  const std::vector<fs::path>& searched() const { return searched_; }

 private:
  std::optional<fs::path> look(const fs::path& folder) {
    searched_.push_back(folder);
    if (is_model_folder(folder)) return folder;
    return std::nullopt;
  }

  // HUB/models--OWNER--NAME/snapshots/COMMIT, where refs/main names the commit (huggingface_hub's
  // cache). Without that reference, the snapshot written last.
  std::optional<fs::path> hugging_face(const HubName& hub) {
    const fs::path home = environment_("HF_HOME").value_or(cache_ / "huggingface");
    const fs::path root =
        environment_("HF_HUB_CACHE")
            .value_or(environment_("HUGGINGFACE_HUB_CACHE").value_or(home / "hub"));
    const fs::path repository = root / ("models--" + hub.owner + "--" + hub.name);
    const fs::path snapshots = repository / "snapshots";
    searched_.push_back(snapshots);
    const std::string commit = first_line(repository / "refs" / "main");
    if (plain_word(commit) && is_model_folder(snapshots / commit)) return snapshots / commit;
    std::optional<fs::path> newest;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(snapshots, error)) {
      if (!is_model_folder(entry.path())) continue;
      std::error_code ignored;
      if (!newest || fs::last_write_time(*newest, ignored) < entry.last_write_time(ignored)) {
        newest = entry.path();
      }
    }
    return newest;
  }

  // CACHE/models/OWNER/NAME, before version 1.14 CACHE/OWNER/NAME; dots become "___" in names.
  std::optional<fs::path> model_scope(const HubName& hub) {
    const fs::path root = environment_("MODELSCOPE_CACHE").value_or(cache_ / "modelscope" / "hub");
    std::string escaped = hub.name;
    for (size_t at = 0; (at = escaped.find('.', at)) != std::string::npos;) {
      escaped.replace(at, 1, "___");
    }
    for (const fs::path& folder : {root / "models", root, root / "hub" / "models"}) {
      for (const std::string& name : {hub.name, escaped}) {
        if (auto found = look(folder / hub.owner / name)) return found;
      }
    }
    return std::nullopt;
  }

  // FastDeploy downloads to FD_MODEL_CACHE/OWNER/NAME, by default in the home folder; the AI Studio
  // client has a cache of its own.
  std::optional<fs::path> ai_studio(const HubName& hub) {
    if (const auto cache = environment_("FD_MODEL_CACHE")) {
      if (auto found = look(fs::path(*cache) / hub.owner / hub.name)) return found;
    }
    if (auto found = look(home_ / hub.owner / hub.name)) return found;
    const fs::path studio =
        fs::path(environment_("AISTUDIO_CACHE_HOME").value_or(home_)) / ".cache" / "aistudio";
    for (const fs::path& folder : {studio, studio / "hub", studio / "models"}) {
      if (auto found = look(folder / hub.owner / hub.name)) return found;
    }
    return std::nullopt;
  }

  const Environment& environment_;
  fs::path home_;
  fs::path cache_;
  std::vector<fs::path> searched_;
};

Error not_found(const HubName& hub, const std::vector<fs::path>& searched) {
  std::string message = "--model: " + hub.text() +
                        ": expected a folder of that name or a downloaded model, found none in";
  for (const fs::path& folder : searched) message += "\n  " + folder.string();
  message += "\nGet it with one of\n  huggingface-cli download " + hub.text() +
             "\n  modelscope download --model " +
             (hub.owner == "baidu" ? "PaddlePaddle/" + hub.name : hub.text()) +
             "\nor give the path of a folder that holds config.json and *.safetensors.";
  return {ErrorKind::kNotFound, std::move(message), "model", "model_not_found"};
}

}  // namespace

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Result<std::string> resolve_model(const std::string& model, const Environment& environment) {
  if (model.empty()) return invalid_argument("--model: expected a folder or a hub name", "model");
  if (is_model_folder(model)) return model;
  std::error_code ignored;
  if (fs::exists(model, ignored)) {
    return invalid_argument(
        "--model: " + model + ": expected a folder with config.json, found " +
            (fs::is_directory(model, ignored) ? "no config.json in it" : "something else"),
        "model");
  }
  const std::optional<HubName> hub = parse_hub_name(model);
  if (!hub) {
    return invalid_argument("--model: " + model +
                                ": expected an existing folder, or a hub name such as "
                                "baidu/ERNIE-4.5-VL-28B-A3B-PT; found no such folder",
                            "model");
  }
  CacheSearch search(environment);
  if (const std::optional<fs::path> found = search.find(*hub)) return found->string();
  return not_found(*hub, search.searched());
}

}  // namespace ernie::model
