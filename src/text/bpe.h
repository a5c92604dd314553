#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace ernie::text {

// A SentencePiece BPE model whose encoding time is linear in the text.
//
// SentencePiece takes n log n time and 100 bytes of memory per byte. Bpe gives it windows of a few
// kilobytes instead and proves that the joined result is the same. Merges happen in a total order
// (score, then position), and the order of the merges inside a stretch of text does not depend on
// what is outside. So a sequence of symbols is the encoding of its text exactly if each two
// neighbours are the encoding of theirs: the first merge of the whole text that crossed a border
// between final symbols would also happen in those two alone. Each window starts some symbols
// before the end of the last one, and a border that fails the test moves further to the left.
class Bpe {
 public:
  static Result<Bpe> load(const std::filesystem::path& model_file);
  // `model` is such a file's content, and `file` what errors call it.
  static Result<Bpe> parse(std::string_view model, const std::string& file);
  Bpe(Bpe&&) noexcept;
  ~Bpe();

  // Appends the ids of `text`: valid UTF-8 with U+2581 for each space. Stops soon after `out` has
  // more than `max_tokens` ids.
  void encode(std::string_view text, size_t max_tokens, std::vector<int32_t>& out) const;

  const sentencepiece::SentencePieceProcessor& model() const { return *model_; }

 private:
  explicit Bpe(std::unique_ptr<sentencepiece::SentencePieceProcessor> model);
  Status check_settings(const std::string& file) const;
  std::vector<int> encode_window(std::string_view text) const;
  bool holds_together(std::string_view text, size_t border, const std::vector<int32_t>& left,
                      const std::vector<int>& right) const;

  std::unique_ptr<sentencepiece::SentencePieceProcessor> model_;
  std::vector<uint16_t> piece_bytes_;  // by id; 1 for a byte-fallback piece
  size_t overlap_;                     // bytes of each window that the next one repeats
  size_t window_;                      // bytes
};

}  // namespace ernie::text
