#include "text/answer_parser.h"

#include <algorithm>
#include <utility>

namespace ernie::text {
namespace {

constexpr std::string_view kTagTexts[] = {kThinkEnd, kResponseBegin, kResponseEnd, kCallBegin,
                                          kCallEnd};

// Cuts the newlines at the end off `text`.
std::string cut_newlines(std::string& text) {
  const size_t last = text.find_last_not_of('\n');
  const size_t keep = last == std::string::npos ? 0 : last + 1;
  std::string cut = text.substr(keep);
  text.resize(keep);
  return cut;
}

}  // namespace

AnswerParser::AnswerParser(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                           AnswerRules rules)
    : rules_(std::move(rules)), stops_(rules_.stop, rules_.include_stop) {
  for (int tag = 0; tag < kTags; ++tag) ids_[tag] = tokenizer.id_of(kTagTexts[tag]);
  const bool thinks =
      rules_.syntax.thinking != AnswerSyntax::Thinking::kNone && opens_thinking(tokenizer, prompt);
  shows_begin_ = thinks && rules_.syntax.thinking == AnswerSyntax::Thinking::kShown;
  look_for(thinks ? Part::kThinking : Part::kContent);
}

AnswerParser::Tag AnswerParser::tag_of(int32_t id) const {
  const auto found = std::find(std::begin(ids_), std::end(ids_), id);
  return found == std::end(ids_) ? kNoTag : static_cast<Tag>(found - std::begin(ids_));
}

// Whether a tag means anything in the present part.
bool AnswerParser::ends_part(Tag tag) const {
  switch (tag) {
    case kThinkEndTag:
      return part_ == Part::kThinking;
    case kResponseBeginTag:
    case kResponseEndTag:
      return part_ == Part::kContent && rules_.syntax.response_tags;
    case kCallBeginTag:
      return part_ != Part::kThinking && rules_.tool_calls;
    case kCallEndTag:
      return part_ == Part::kCall;
    default:
      return false;
  }
}

void AnswerParser::look_for(Part part) {
  part_ = part;
  sought_.clear();
  std::vector<std::string> texts;
  for (int i = 0; i < kTags; ++i) {
    const auto tag = static_cast<Tag>(i);
    if (ids_[tag] || !ends_part(tag)) continue;
    sought_.push_back(tag);
    texts.emplace_back(kTagTexts[tag]);
  }
  tags_ = StopMatcher(texts);
}

AnswerParser::Delta AnswerParser::push(int32_t id, std::string_view text) {
  Delta out;
  const Tag tag = tag_of(id);
  if (!ends_part(tag)) {
    feed(text, out);
    return out;
  }
  // Before the tag's own text (absent when special tokens are skipped) may come what the stream
  // held back of earlier tokens.
  if (text.ends_with(kTagTexts[tag])) text.remove_suffix(kTagTexts[tag].size());
  feed(text, out);
  if (!ended_) on_tag(tag, out);
  return out;
}

AnswerParser::Delta AnswerParser::flush(std::string_view text) {
  Delta out;
  feed(text, out);
  if (ended_) return out;
  add(tags_.flush(), out);
  if (part_ == Part::kCall) end_call({}, out);
  add(tags_.flush(), out);  // of a call that is given back
  if (part_ == Part::kThinking) {
    out.reasoning += newlines_;
  } else if (!ended_) {
    show(stops_.flush(), /*more_follows=*/false, out);
  }
  return out;
}

void AnswerParser::feed(std::string_view text, Delta& out) {
  std::string rest(text);
  while (!ended_) {
    StopMatcher::Output piece = tags_.push(rest);
    const Tag tag = piece.matched ? sought_[*piece.matched] : kNoTag;
    if (tag != kNoTag) tags_.flush();  // for the next push
    add(piece.text, out);
    if (tag == kNoTag || ended_) return;
    on_tag(tag, out);
    rest = std::move(piece.rest);
  }
}

void AnswerParser::add(std::string_view text, Delta& out) {
  if (part_ == Part::kThinking) return add_thinking(text, out);
  if (part_ == Part::kContent) return add_content(text, out);
  add_to_call(text, out);
}

void AnswerParser::on_tag(Tag tag, Delta& out) {
  add(tags_.flush(), out);  // what looked like another tag
  if (ended_) return;
  if (!ends_part(tag)) return feed(kTagTexts[tag], out);  // what was read before it was no call
  switch (tag) {
    case kThinkEndTag:
      if (rules_.syntax.thinking == AnswerSyntax::Thinking::kShown) {
        add_thinking(kThinkEnd, out);
      } else {
        trims_ = true;
      }
      newlines_.clear();
      return look_for(Part::kContent);
    case kResponseBeginTag:
    case kResponseEndTag:
      newlines_.clear();
      trims_ = true;
      return;
    case kCallBeginTag:
      if (part_ == Part::kCall) end_call({}, out);
      if (ended_) return;
      if (rules_.syntax.calls_first && has_content_) return add_content(kCallBegin, out);
      show(stops_.flush(), /*more_follows=*/true, out);
      call_ = {};
      call_text_ = kCallBegin;
      call_named_ = false;
      return look_for(Part::kCall);
    default:
      end_call(kCallEnd, out);
  }
}

void AnswerParser::add_thinking(std::string_view text, Delta& out) {
  if (rules_.syntax.thinking == AnswerSyntax::Thinking::kShown) {
    if (std::exchange(shows_begin_, false)) out.content += kThinkBegin;
    out.content += text;
    return;
  }
  std::string all = std::exchange(newlines_, {}) + std::string(text);
  if (rules_.syntax.response_tags) newlines_ = cut_newlines(all);
  out.reasoning += all;
}

void AnswerParser::add_content(std::string_view text, Delta& out) {
  if (trims_) {
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    trims_ = text.empty();
  }
  if (text.empty()) return;
  StopMatcher::Output found = stops_.push(text);
  ended_ = found.matched.has_value();
  if (ended_) stop_string_ = rules_.stop[*found.matched];
  show(found.text, /*more_follows=*/!ended_, out);
}

void AnswerParser::show(std::string_view text, bool more_follows, Delta& out) {
  std::string all = std::exchange(newlines_, {}) + std::string(text);
  if (more_follows && (rules_.tool_calls || rules_.syntax.response_tags)) {
    newlines_ = cut_newlines(all);
  }
  has_content_ = has_content_ || !all.empty();
  out.content += all;
}

void AnswerParser::add_to_call(std::string_view text, Delta& out) {
  const size_t read = call_.push(text);
  if (!call_named_) call_text_ += text.substr(0, read);
  if (call_.is_broken() && !call_.has_name()) return give_back_call(text.substr(read), out);
  ToolCallPiece piece{next_call_, {}, call_.take_arguments()};
  if (call_.has_name() && !std::exchange(call_named_, true)) {
    piece.name = call_.name();
    newlines_.clear();
  }
  if (!piece.name.empty() || !piece.arguments.empty()) out.calls.push_back(std::move(piece));
}

// What was read as a call is text, and `rest` follows it.
void AnswerParser::give_back_call(std::string_view rest, Delta& out) {
  const std::string follows = std::string(rest) + tags_.flush();
  look_for(Part::kContent);
  trims_ = false;
  add_content(std::exchange(call_text_, {}), out);
  feed(follows, out);
}

void AnswerParser::end_call(std::string_view tag, Delta& out) {
  if (!call_named_) {
    call_text_ += tag;
    return give_back_call({}, out);
  }
  ++next_call_;
  if (call_.is_complete()) {
    ++calls_;
    ended_ = rules_.one_call;
  }
  trims_ = true;
  look_for(Part::kContent);
}

}  // namespace ernie::text
