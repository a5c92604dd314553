#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace ernie::text {

// The small tokenizer of tests/golden/text; tests run in the repository's root.
inline const char* const kToyTokenizer = "tests/golden/text/tokenizer";

inline const Tokenizer& toy_tokenizer() {
  static const Result<Tokenizer> tokenizer = Tokenizer::load(kToyTokenizer);
  return *tokenizer;
}

// A folder that is removed with the object.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "ernie_text_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace ernie::text
