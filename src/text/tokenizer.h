#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ernie::text {

struct EncodeOptions {
  // Whether strings such as "<|IMAGE_START|>" become their ids. Leave it off for text that a user
  // typed: it is then encoded as ordinary text and yields no id for which is_added() holds.
  bool parse_special = true;
  // Encoding stops soon after this many tokens; a longer result says that the text is too long.
  size_t max_tokens = std::numeric_limits<size_t>::max();
};

// A part of a prompt. Strings of special tokens count only inside trusted text.
struct TextSegment {
  std::string_view text;
  bool trusted = false;
};

// The tokenizer of an ERNIE checkpoint: SentencePiece BPE plus added tokens, which are split off
// before BPE (leftmost, then longest). It adds no bos, eos or space of its own.
//
// Invalid UTF-8 in the input is read as U+FFFD, one per bad byte. U+2581 is SentencePiece's sign
// for a space, so it decodes to a space. Immutable after load and safe to use from any thread.
class Tokenizer {
 public:
  // Reads tokenizer.model, or tokenizer.json where there is none, and added_tokens.json,
  // tokenizer_config.json and special_tokens_map.json (each optional) from the folder `checkpoint`.
  static Result<Tokenizer> load(const std::filesystem::path& checkpoint);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Encodes the segments as one joined string: merges cross the borders between segments.
  std::vector<int32_t> encode_segments(
      std::span<const TextSegment> segments,
      size_t max_tokens = std::numeric_limits<size_t>::max()) const;

  // A lower bound on encode(text).size() that costs nothing: bytes / longest token.
  size_t min_tokens(std::string_view text) const;

  // Valid UTF-8; each byte that belongs to no character becomes U+FFFD. skip_special leaves out
  // the tokens for which is_special() holds.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // The bytes that a token stands for: one byte for a byte-fallback piece, a space for U+2581.
  // Empty for ids that name no token (the embedding may have more rows than there are tokens).
  std::string_view token_bytes(int32_t id) const;
  // The same as valid UTF-8.
  std::string token_text(int32_t id) const;

  std::optional<int32_t> id_of(std::string_view token) const;
  // Left out of the text by skip_special.
  bool is_special(int32_t id) const;
  // Split off before BPE: every special token and the added tokens that are not special.
  bool is_added(int32_t id) const;

  // One more than the largest id with a token.
  int32_t vocab_size() const;

  int32_t bos_id() const;                 // <s>
  int32_t eos_id() const;                 // </s>
  int32_t pad_id() const;                 // <unk> in this family
  int32_t unk_id() const;                 // <unk>
  std::optional<int32_t> cls_id() const;  // <|begin_of_sentence|>
  std::optional<int32_t> sep_id() const;  // <|end_of_sentence|>, which ends an assistant turn
  std::optional<int32_t> think_start_id() const;  // <think>
  std::optional<int32_t> think_end_id() const;    // </think>

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);

  std::unique_ptr<const State> state_;
};

}  // namespace ernie::text
