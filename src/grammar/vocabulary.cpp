#include "grammar/vocabulary.h"

#include <algorithm>
#include <utility>

#include "text/answer_syntax.h"

namespace ernie::grammar {

Vocabulary make_vocabulary(const text::Tokenizer& tokenizer, size_t logits,
                           std::vector<int32_t> stop_ids) {
  Vocabulary vocabulary{std::vector<std::string>(logits), std::move(stop_ids)};
  const size_t tokens = std::min<size_t>(logits, tokenizer.vocab_size());
  for (size_t id = 0; id < tokens; ++id) {
    const auto token = static_cast<int32_t>(id);
    if (!tokenizer.is_special(token)) vocabulary.bytes[id] = tokenizer.token_bytes(token);
  }
  for (const auto& [tag, bytes] :
       {std::pair(text::kCallBegin, kCallBeginBytes), {text::kCallEnd, kCallEndBytes}}) {
    const auto id = tokenizer.id_of(tag);
    if (id && static_cast<size_t>(*id) < logits) vocabulary.bytes[*id] = bytes;
  }
  return vocabulary;
}

}  // namespace ernie::grammar
