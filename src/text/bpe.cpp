#include "text/bpe.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "text/json_file.h"
#include "text/utf8.h"

namespace ernie::text {
namespace {

constexpr size_t kMinWindow = 4096;  // bytes; long enough that the repeated part costs little

}  // namespace

Bpe::Bpe(std::unique_ptr<sentencepiece::SentencePieceProcessor> model) : model_(std::move(model)) {
  const int pieces = model_->GetPieceSize();
  piece_bytes_.reserve(pieces);
  size_t longest = 1;
  for (int id = 0; id < pieces; ++id) {
    const size_t bytes = model_->IsByte(id) ? 1 : model_->IdToPiece(id).size();
    piece_bytes_.push_back(static_cast<uint16_t>(std::min<size_t>(bytes, UINT16_MAX)));
    longest = std::max(longest, bytes);
  }
  // A symbol that the end of a window cuts in two starts at most `longest` bytes before it.
  overlap_ = 2 * longest;
  window_ = std::max(kMinWindow, 4 * overlap_);
}

Bpe::Bpe(Bpe&&) noexcept = default;
Bpe::~Bpe() = default;

Result<Bpe> Bpe::load(const std::filesystem::path& model_file) {
  if (!has_entry(model_file)) {
    return internal_error(model_file.string() +
                          ": expected a SentencePiece model, found no such file; give a checkpoint "
                          "folder that contains tokenizer.model or tokenizer.json");
  }
  const Result<std::string> bytes = read_file(model_file);
  if (!bytes) return bytes.error();
  return parse(*bytes, model_file.string());
}

Result<Bpe> Bpe::parse(std::string_view bytes, const std::string& file) {
  auto model = std::make_unique<sentencepiece::SentencePieceProcessor>();
  const auto status = model->LoadFromSerializedProto(bytes);
  if (!status.ok()) {
    return internal_error(file + ": expected a SentencePiece model, found: " + status.ToString() +
                          "; download the file again");
  }
  Bpe bpe(std::move(model));
  if (Status settings = bpe.check_settings(file); !settings) return settings.error();
  return bpe;
}

Status Bpe::check_settings(const std::string& file) const {
  int byte_pieces = 0;
  for (int id = 0; id < model_->GetPieceSize(); ++id) {
    if (model_->IsByte(id)) ++byte_pieces;
    if (model_->IsUnused(id)) {
      return internal_error(file + ": expected no unused pieces, found one: id " +
                            std::to_string(id) + "; such models are not supported");
    }
  }
  if (byte_pieces != 256) {
    return internal_error(file + ": expected 256 byte pieces (byte_fallback), found " +
                          std::to_string(byte_pieces) + "; such models are not supported");
  }
  // A normaliser, a dummy prefix or the removal of spaces would change this text.
  const std::string probe = "a\u2581\u2581\uFB01\u2581\n\u2581";
  std::string back;
  for (int id : encode_window(probe)) {
    if (model_->IsByte(id)) {
      back += static_cast<char>(std::stoi(model_->IdToPiece(id).substr(3, 2), nullptr, 16));
    } else {
      back += model_->IdToPiece(id);
    }
  }
  if (back != probe) {
    return internal_error(
        file +
        ": expected a model that keeps its input (identity normaliser, "
        "add_dummy_prefix and remove_extra_whitespaces off), found one that turns "
        "\"" +
        probe + "\" into \"" + back + "\"; such models are not supported");
  }
  return {};
}

std::vector<int> Bpe::encode_window(std::string_view text) const {
  std::vector<int> ids;
  const auto status = model_->Encode(text, &ids);
  CHECK(status.ok(), status.ToString());
  return ids;
}

bool Bpe::holds_together(std::string_view text, size_t border, const std::vector<int32_t>& left,
                         const std::vector<int>& right) const {
  // The symbol on each side: one piece, or all the bytes of a character that has no piece.
  size_t begin = border, end = border, left_ids = 0, right_ids = 0;
  do {
    begin -= piece_bytes_[left[left.size() - ++left_ids]];
  } while (utf8_continues(text[begin]));
  do {
    end += piece_bytes_[right[right_ids++]];
  } while (end < text.size() && utf8_continues(text[end]));
  const std::vector<int> both = encode_window(text.substr(begin, end - begin));
  return both.size() == left_ids + right_ids &&
         std::equal(left.end() - left_ids, left.end(), both.begin()) &&
         std::equal(right.begin(), right.begin() + right_ids, both.begin() + left_ids);
}

void Bpe::encode(std::string_view text, size_t max_tokens, std::vector<int32_t>& out) const {
  std::vector<int32_t> ids;  // the encoding of text[0, done)
  size_t done = 0;
  const auto drop = [&](size_t bytes) {
    const size_t target = done > bytes ? done - bytes : 0;
    while (done > target || (done > 0 && utf8_continues(text[done]))) {
      done -= piece_bytes_[ids.back()];
      ids.pop_back();
    }
  };
  size_t end = 0;  // of the current window
  size_t backing = overlap_;
  while (end < text.size()) {
    end = std::min(text.size(), done + window_);
    while (end < text.size() && utf8_continues(text[end])) --end;
    std::vector<int> window = encode_window(text.substr(done, end - done));
    while (!ids.empty() && !holds_together(text, done, ids, window)) {
      drop(backing);
      backing *= 2;
      window = encode_window(text.substr(done, end - done));
    }
    backing = overlap_;
    ids.insert(ids.end(), window.begin(), window.end());
    done = end;
    // The ids of the last `overlap_` bytes may still change.
    const size_t sure = out.size() + ids.size() - std::min(ids.size(), overlap_);
    if (sure > max_tokens) break;
    if (end < text.size()) drop(overlap_);
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

}  // namespace ernie::text
