#include "text/tokenizer_json.h"

#include <bit>
#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace ernie::text {
namespace {

namespace json = boost::json;

constexpr const char* kSpaceSign = "\u2581";
constexpr size_t kMaxShownValue = 80;

enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

// The fields of a protocol buffer's message that SentencePiece's model needs.
class Message {
 public:
  void number(int field, uint64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(value);
  }
  void real(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift);
  }
  void bytes(int field, const std::string& value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  const std::string& text() const { return bytes_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// The numbers are those of sentencepiece_model.proto.
std::string serialise(const std::vector<Piece>& pieces) {
  Message model;
  for (const Piece& piece : pieces) {
    Message message;
    message.bytes(1, piece.text);
    message.real(2, piece.score);
    message.number(3, static_cast<uint64_t>(piece.type));
    model.bytes(1, message.text());
  }
  Message trainer;
  trainer.number(3, 2);   // model_type: BPE
  trainer.number(35, 1);  // byte_fallback
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].type != PieceType::kUnknown) continue;
    trainer.number(40, id);              // unk_id
    trainer.bytes(45, pieces[id].text);  // unk_piece
  }
  model.bytes(2, trainer.text());
  Message normaliser;
  normaliser.bytes(1, "identity");
  normaliser.number(3, 0);  // add_dummy_prefix
  normaliser.number(4, 0);  // remove_extra_whitespaces
  model.bytes(3, normaliser.text());
  return model.text();
}

bool is_byte_piece(const std::string& text) {
  return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' &&
         text.find_first_not_of("0123456789ABCDEF", 3) == 5;
}

// Reads one file; `error` keeps the first complaint.
class Reader {
 public:
  Reader(const json::object& tokenizer, std::string file)
      : tokenizer_(tokenizer), file_(std::move(file)) {}

  Result<std::string> read() {
    check_spaces();
    const json::object& model = object(tokenizer_, "model");
    check_model(model);
    read_vocabulary(object(model, "vocab"));
    mark_pieces(model);
    if (error_.empty()) read_merges(model.if_contains("merges"));
    if (error_.empty()) check_merges();
    if (!error_.empty()) return internal_error(error_);
    return serialise(pieces_);
  }

 private:
  void fail(const std::string& what, const std::string& expected, const json::value* found) {
    if (!error_.empty()) return;
    std::string shown = found == nullptr ? "no such key" : json::serialize(*found);
    if (shown.size() > kMaxShownValue) {
      shown.resize(kMaxShownValue);
      shown += "...";
    }
    error_ = file_ + ": " + what + ": expected " + expected + ", found " + shown +
             "; give the folder the tokenizer.model that the file was made from";
  }

  const json::object& object(const json::object& parent, const char* key) {
    static const json::object kEmpty;
    const json::value* value = parent.if_contains(key);
    if (value != nullptr && value->is_object()) return value->get_object();
    fail(key, "an object", value);
    return kEmpty;
  }

  static const json::value* find(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && !value->is_null() ? value : nullptr;
  }

  // Spaces become U+2581 and nothing else changes: by a normaliser, or before BPE by Metaspace,
  // which must neither add a space nor split.
  void check_spaces() {
    bool replaced = false;
    if (const json::value* normaliser = find(tokenizer_, "normalizer")) {
      const json::value expected = {
          {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceSign}};
      const json::value sequence = {{"type", "Sequence"}, {"normalizers", json::array{expected}}};
      replaced = *normaliser == expected || *normaliser == sequence;
      if (!replaced) fail("normalizer", "null, or spaces replaced by U+2581", normaliser);
    }
    const json::value* splitter = find(tokenizer_, "pre_tokenizer");
    const json::value metaspace = {{"type", "Metaspace"},
                                   {"replacement", kSpaceSign},
                                   {"prepend_scheme", "never"},
                                   {"split", false}};
    if (splitter == nullptr ? !replaced : *splitter != metaspace) {
      fail("pre_tokenizer", json::serialize(metaspace), splitter);
    }
  }

  void check_model(const json::object& model) {
    const auto require = [&](const char* key, const json::value& expected, bool or_absent) {
      const json::value* found = find(model, key);
      if (found == nullptr ? or_absent : *found == expected) return;
      fail(std::string("model.") + key, json::serialize(expected), found);
    };
    require("type", "BPE", false);
    require("byte_fallback", true, false);
    require("ignore_merges", false, true);
    require("dropout", 0.0, true);
    require("continuing_subword_prefix", "", true);
    require("end_of_word_suffix", "", true);
  }

  void read_vocabulary(const json::object& vocabulary) {
    pieces_.resize(vocabulary.size());
    for (const auto& [text, value] : vocabulary) {
      const auto id = value.is_int64() ? static_cast<uint64_t>(value.get_int64()) : UINT64_MAX;
      if (id >= pieces_.size() || !pieces_[id].text.empty() || text.empty()) {
        fail("model.vocab: \"" + std::string(text) + "\"",
             "ids from 0 to " + std::to_string(pieces_.size() - 1) + ", each for one piece",
             &value);
        return;
      }
      pieces_[id].text = std::string(text);
      ids_.emplace(pieces_[id].text, id);
    }
  }

  void mark_pieces(const json::object& model) {
    for (Piece& piece : pieces_) {
      if (is_byte_piece(piece.text)) piece.type = PieceType::kByte;
    }
    if (const json::value* added = find(tokenizer_, "added_tokens"); added && added->is_array()) {
      for (const json::value& token : added->get_array()) {
        const json::value* text =
            token.is_object() ? token.get_object().if_contains("content") : nullptr;
        const json::value* special =
            token.is_object() ? token.get_object().if_contains("special") : nullptr;
        if (!text || !text->is_string() || !special || *special != true) continue;
        const auto at = ids_.find(std::string(text->get_string()));
        if (at != ids_.end()) pieces_[at->second].type = PieceType::kControl;
      }
    }
    const json::value* unknown = find(model, "unk_token");
    const auto at =
        ids_.find(unknown && unknown->is_string() ? std::string(unknown->get_string()) : "<unk>");
    if (at == ids_.end()) {
      fail("model.unk_token", "a token of the vocabulary", unknown);
    } else {
      pieces_[at->second].type = PieceType::kUnknown;
    }
  }

  // The id of a merge's part, or of the piece that two parts make.
  std::optional<size_t> id_of(const std::string& text) const {
    const auto at = ids_.find(text);
    return at == ids_.end() ? std::nullopt : std::optional(at->second);
  }

  // "a b", or since version 0.20 of tokenizers ["a", "b"].
  static std::optional<std::pair<std::string, std::string>> parts_of(const json::value& merge) {
    if (merge.is_string()) {
      const std::string text(merge.get_string());
      const size_t space = text.find(' ');
      if (space == std::string::npos) return std::nullopt;
      return std::pair(text.substr(0, space), text.substr(space + 1));
    }
    if (!merge.is_array() || merge.get_array().size() != 2) return std::nullopt;
    const json::value &left = merge.get_array()[0], &right = merge.get_array()[1];
    if (!left.is_string() || !right.is_string()) return std::nullopt;
    return std::pair(std::string(left.get_string()), std::string(right.get_string()));
  }

  // Gives each piece the rank of its merges, which stand together, as its score.
  void read_merges(const json::value* merges) {
    if (merges == nullptr || !merges->is_array()) return fail("model.merges", "a list", merges);
    merges_of_.resize(pieces_.size());
    std::optional<size_t> last;
    float score = 0;
    for (const json::value& merge : merges->get_array()) {
      const auto parts = parts_of(merge);
      const auto id = parts ? id_of(parts->first + parts->second) : std::nullopt;
      if (!id || !id_of(parts->first) || !id_of(parts->second)) {
        return fail("model.merges", "pairs of pieces that make a piece", &merge);
      }
      if (last != id) {
        if (pieces_[*id].score != 0) {
          return fail("model.merges", "all merges to one piece in a row", &merge);
        }
        pieces_[*id].score = --score;
        last = id;
      }
      ++merges_of_[*id];
    }
  }

  // SentencePiece makes a piece of any two pieces, so all of its splits must be merges. Added
  // tokens are no parts: they are taken out of the text before.
  void check_merges() {
    for (size_t id = 0; id < pieces_.size(); ++id) {
      const Piece& piece = pieces_[id];
      if (piece.type != PieceType::kNormal) continue;
      int splits = 0;
      for (size_t at = utf8_step(piece.text).bytes; at < piece.text.size();
           at += utf8_step(std::string_view(piece.text).substr(at)).bytes) {
        const auto left = id_of(piece.text.substr(0, at)), right = id_of(piece.text.substr(at));
        splits += left && right && pieces_[*left].type == PieceType::kNormal &&
                  pieces_[*right].type == PieceType::kNormal;
      }
      if (splits > merges_of_[id]) {
        const json::value found = merges_of_[id];
        return fail("model.merges: \"" + piece.text + "\"",
                    std::to_string(splits) + " merges, all that two pieces make", &found);
      }
    }
  }

  const json::object& tokenizer_;
  std::string file_;
  std::string error_;
  std::vector<Piece> pieces_;  // by id
  std::unordered_map<std::string, size_t> ids_;
  std::vector<int> merges_of_;  // by id
};

}  // namespace

Result<std::string> to_sentencepiece(const json::object& tokenizer, const std::string& file) {
  return Reader(tokenizer, file).read();
}

}  // namespace ernie::text
