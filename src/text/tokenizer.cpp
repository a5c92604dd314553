#include "text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/json_file.h"
#include "text/special_matcher.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace ernie::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kSpaceSign = "\u2581";  // how SentencePiece writes a space

std::string with_spaces(std::string_view piece) {
  std::string text;
  for (size_t i = 0; i < piece.size();) {
    const bool sign = piece.substr(i, kSpaceSign.size()) == kSpaceSign;
    text += sign ? ' ' : piece[i];
    i += sign ? kSpaceSign.size() : 1;
  }
  return text;
}

void append_with_signs(std::string_view text, std::string& out) {
  for (char c : text) {
    if (c == ' ') {
      out += kSpaceSign;
    } else {
      out += c;
    }
  }
}

// The family keeps markers such as <|end_of_sentence|> and <mask:1> in the model as ordinary
// pieces with score 0, which learned pieces of that shape never have.
bool is_marker(const sentencepiece::SentencePieceProcessor& model, int id) {
  if (model.IsControl(id) || model.IsUnknown(id)) return true;
  if (model.IsByte(id) || model.GetScore(id) != 0.0f) return false;
  const std::string& piece = model.IdToPiece(id);
  return piece.size() > 2 && piece.front() == '<' && piece.back() == '>';
}

Result<Bpe> parse_bpe(const json::object& tokenizer, const std::string& file) {
  const Result<std::string> model = to_sentencepiece(tokenizer, file);
  if (!model) return model.error();
  return Bpe::parse(*model, file);
}

}  // namespace

struct Tokenizer::State {
  explicit State(Bpe model) : bpe(std::move(model)) {}

  Status add(const std::string& text, const AddedTokens::Token& token, const std::string& folder);
  void set_added(int32_t id, const std::string& text, const AddedTokens::Token& token);
  void take_whitespace(std::string_view text, size_t done, SpecialMatcher::Match& match) const;
  int32_t role(const AddedTokens& added, const std::string& name, int32_t otherwise) const;
  std::optional<int32_t> id_of(std::string_view token) const;
  void encode_plain(std::string_view text, size_t max_tokens, std::vector<int32_t>& out) const;
  void append_unmarked(std::string_view text, std::vector<int32_t>& out) const;

  Bpe bpe;
  std::vector<std::string> bytes;  // by id
  std::vector<bool> special;       // by id
  std::vector<bool> added;         // by id
  std::unordered_map<std::string, int32_t> added_ids;
  struct Strips {
    bool left = false, right = false;
  };
  std::unordered_map<int32_t, Strips> strips;  // by the id of an added token
  SpecialMatcher matcher;
  size_t longest_token = 1;  // bytes of text
  int32_t bos = -1, eos = -1, pad = -1, unk = -1;
  std::optional<int32_t> cls, sep, think_start, think_end;
};

Status Tokenizer::State::add(const std::string& text, const AddedTokens::Token& token,
                             const std::string& folder) {
  const auto& model = bpe.model();
  const int32_t pieces = model.GetPieceSize();
  const int32_t piece = model.PieceToId(text);
  if (piece != model.unk_id() || text == model.IdToPiece(model.unk_id())) {
    // Some files list the digits too; one character is ordinary text and cannot be taken apart.
    if (text.size() != utf8_step(text).bytes) set_added(piece, text, token);
  } else if (token.id == AddedTokens::kNoId) {
    // Named as special, but no file gives it an id: it is text like any other.
  } else if (token.id < pieces) {
    return internal_error(folder + ": expected added tokens to have ids from " +
                          std::to_string(pieces) + " (the size of the vocabulary), found \"" +
                          text + "\" with id " + std::to_string(token.id) +
                          "; the tokenizer's files are not of one checkpoint");
  } else {
    set_added(token.id, text, token);
  }
  return {};
}

void Tokenizer::State::set_added(int32_t id, const std::string& text,
                                 const AddedTokens::Token& token) {
  if (bytes.size() <= static_cast<size_t>(id)) bytes.resize(id + 1);
  special.resize(bytes.size());
  added.resize(bytes.size());
  bytes[id] = text;
  special[id] = token.special;
  strips[id] = {token.lstrip, token.rstrip};
  added[id] = true;
  added_ids[text] = id;
  matcher.add(text, id);
}

// As transformers does: the whitespace around some tokens belongs to them. `done` bytes of the text
// belong to what stands before.
void Tokenizer::State::take_whitespace(std::string_view text, size_t done,
                                       SpecialMatcher::Match& match) const {
  constexpr std::string_view kWhitespace = " \t\n\v\f\r";
  const Strips& strip = strips.at(match.id);
  const auto is_space = [&](size_t at) { return kWhitespace.find(text[at]) != std::string::npos; };
  while (strip.left && match.begin > done && is_space(match.begin - 1)) --match.begin;
  while (strip.right && match.end < text.size() && is_space(match.end)) ++match.end;
}

int32_t Tokenizer::State::role(const AddedTokens& tokens, const std::string& name,
                               int32_t otherwise) const {
  const auto it = tokens.roles.find(name);
  return it == tokens.roles.end() ? otherwise : id_of(it->second).value_or(otherwise);
}

std::optional<int32_t> Tokenizer::State::id_of(std::string_view token) const {
  if (auto it = added_ids.find(std::string(token)); it != added_ids.end()) return it->second;
  std::string piece;
  append_with_signs(token, piece);
  const int id = bpe.model().PieceToId(piece);
  if (id == bpe.model().unk_id()) return std::nullopt;
  return id;
}

// Encodes text without added tokens.
void Tokenizer::State::encode_plain(std::string_view text, size_t max_tokens,
                                    std::vector<int32_t>& out) const {
  if (text.empty() || out.size() > max_tokens) return;
  std::string signs;
  signs.reserve(text.size() + text.size() / 2);
  append_with_signs(text, signs);
  const size_t begin = out.size();
  bpe.encode(signs, max_tokens, out);
  const auto is_added = [this](int32_t id) { return added[id]; };
  if (std::none_of(out.begin() + begin, out.end(), is_added)) return;

  std::vector<int32_t> ids(out.begin() + begin, out.end());
  out.resize(begin);
  for (int32_t id : ids) {
    if (added[id]) {
      append_unmarked(bpe.model().IdToPiece(id), out);
    } else {
      out.push_back(id);
    }
  }
}

// Encodes a piece that is an added token as ordinary text: its first character apart, so that the
// piece cannot form.
void Tokenizer::State::append_unmarked(std::string_view text, std::vector<int32_t>& out) const {
  const size_t first = utf8_step(text).bytes;
  for (std::string_view part : {text.substr(0, first), text.substr(first)}) {
    std::vector<int32_t> ids;
    bpe.encode(part, SIZE_MAX, ids);
    for (int32_t id : ids) {
      if (added[id]) {
        append_unmarked(bpe.model().IdToPiece(id), out);
      } else {
        out.push_back(id);
      }
    }
  }
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& checkpoint) {
  const std::filesystem::path model_file = checkpoint / "tokenizer.model";
  const std::filesystem::path json_file = checkpoint / "tokenizer.json";
  json::object json;
  if (!has_entry(model_file) && has_entry(json_file)) {
    Result<json::object> read = read_json_object(json_file);
    if (!read) return read.error();
    json = std::move(*read);
  }
  Result<Bpe> bpe = json.empty() ? Bpe::load(model_file) : parse_bpe(json, json_file.string());
  if (!bpe) return bpe.error();
  Result<AddedTokens> added = read_added_tokens(checkpoint, json);
  if (!added) return added.error();

  auto state = std::make_unique<State>(std::move(*bpe));
  const auto& model = state->bpe.model();
  const int pieces = model.GetPieceSize();
  state->bytes.resize(pieces);
  state->special.resize(pieces);
  state->added.resize(pieces);
  for (int id = 0; id < pieces; ++id) {
    const std::string& piece = model.IdToPiece(id);
    if (model.IsByte(id)) {
      state->bytes[id] = static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
    } else {
      state->bytes[id] = with_spaces(piece);
    }
    if (is_marker(model, id)) state->set_added(id, piece, {});
  }
  for (const auto& [text, token] : added->tokens) {
    if (Status status = state->add(text, token, checkpoint.string()); !status) {
      return status.error();
    }
  }
  for (const std::string& bytes : state->bytes) {
    state->longest_token = std::max(state->longest_token, bytes.size());
  }
  state->unk = state->role(*added, "unk_token", model.unk_id());
  state->bos = state->role(*added, "bos_token", model.bos_id());
  state->eos = state->role(*added, "eos_token", model.eos_id());
  state->pad = state->role(*added, "pad_token", model.pad_id() >= 0 ? model.pad_id() : state->unk);
  const auto optional_role = [&](const char* name, const char* usual) -> std::optional<int32_t> {
    const int32_t id = state->role(*added, name, -1);
    return id >= 0 ? id : state->id_of(usual);
  };
  state->cls = optional_role("cls_token", "<|begin_of_sentence|>");
  state->sep = optional_role("sep_token", "<|end_of_sentence|>");
  state->think_start = state->id_of("<think>");
  state->think_end = state->id_of("</think>");
  return Tokenizer(std::move(state));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextSegment segment{text, options.parse_special};
  return encode_segments({&segment, 1}, options.max_tokens);
}

std::vector<int32_t> Tokenizer::encode_segments(std::span<const TextSegment> segments,
                                                size_t max_tokens) const {
  std::string text;
  std::vector<SpecialMatcher::Match> matches;
  for (size_t i = 0; i < segments.size();) {
    // A special token may lie across the border of two trusted segments.
    const bool trusted = segments[i].trusted;
    size_t begin = text.size();
    for (; i < segments.size() && segments[i].trusted == trusted; ++i) {
      append_valid_utf8(segments[i].text, /*more_follows=*/false, text);
    }
    while (trusted) {
      auto match = state_->matcher.find(text, begin);
      if (!match) break;
      state_->take_whitespace(text, begin, *match);
      matches.push_back(*match);
      begin = match->end;
    }
  }
  std::vector<int32_t> ids;
  size_t done = 0;
  for (const SpecialMatcher::Match& match : matches) {
    state_->encode_plain(std::string_view(text).substr(done, match.begin - done), max_tokens, ids);
    ids.push_back(match.id);
    done = match.end;
    if (ids.size() > max_tokens) return ids;
  }
  state_->encode_plain(std::string_view(text).substr(done), max_tokens, ids);
  return ids;
}

size_t Tokenizer::min_tokens(std::string_view text) const {
  return (text.size() + state_->longest_token - 1) / state_->longest_token;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (int32_t id : ids) {
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  }
  std::string text;
  append_valid_utf8(bytes, /*more_follows=*/false, text);
  return text;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return state_->bytes[id];
}

std::string Tokenizer::token_text(int32_t id) const {
  std::string text;
  append_valid_utf8(token_bytes(id), /*more_follows=*/false, text);
  return text;
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  return state_->id_of(token);
}
bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && state_->special[id];
}
bool Tokenizer::is_added(int32_t id) const {
  return id >= 0 && id < vocab_size() && state_->added[id];
}
int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(state_->bytes.size()); }

int32_t Tokenizer::bos_id() const { return state_->bos; }
int32_t Tokenizer::eos_id() const { return state_->eos; }
int32_t Tokenizer::pad_id() const { return state_->pad; }
int32_t Tokenizer::unk_id() const { return state_->unk; }
std::optional<int32_t> Tokenizer::cls_id() const { return state_->cls; }
std::optional<int32_t> Tokenizer::sep_id() const { return state_->sep; }
std::optional<int32_t> Tokenizer::think_start_id() const { return state_->think_start; }
std::optional<int32_t> Tokenizer::think_end_id() const { return state_->think_end; }

}  // namespace ernie::text
