#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "base/result.h"

namespace ernie::text {

// The SentencePiece model, serialised, that encodes as the BPE model of a tokenizer.json
// (huggingface/tokenizers) does. A list of merges that was made from a SentencePiece model, as
// transformers makes it, says the same as that model's scores; other lists, and settings that
// SentencePiece does not know, are errors that name `file`, what was expected and what was found.
Result<std::string> to_sentencepiece(const boost::json::object& tokenizer, const std::string& file);

}  // namespace ernie::text
