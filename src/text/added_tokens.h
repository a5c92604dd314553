#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"

namespace ernie::text {

// What the JSON files of a checkpoint say about tokens beside the SentencePiece model.
struct AddedTokens {
  static constexpr int32_t kNoId = -1;
  struct Token {
    int32_t id = kNoId;   // kNoId: named without an id, which the SentencePiece model must give
    bool special = true;  // left out of decoded text on request
    bool lstrip = false;  // takes the whitespace before it, too
    bool rstrip = false;  // and that behind it
  };
  std::map<std::string, Token> tokens;
  std::map<std::string, std::string> roles;  // "bos_token", "cls_token", ... -> the token's text
};

// Reads added_tokens.json, tokenizer_config.json and special_tokens_map.json from the folder, each
// if present, and joins what they and `tokenizer_json` say, the content of a tokenizer.json or
// empty. Two files that give one token different ids are an error.
Result<AddedTokens> read_added_tokens(const std::filesystem::path& checkpoint,
                                      const boost::json::object& tokenizer_json);

}  // namespace ernie::text
