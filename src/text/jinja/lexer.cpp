#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace ernie::text::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) {
    for (size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r') {
        source_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      } else {
        source_ += source[i];
      }
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  Result<std::vector<Token>> run() {
    while (pos_ < source_.size() && !error_) {
      const size_t tag = find_tag(pos_);
      text_before(tag);
      if (tag == source_.size()) break;
      pos_ = tag;
      const char kind = source_[tag + 1];
      if (kind == '#') {
        comment();
      } else if (kind == '%' && raw_block()) {
        continue;
      } else {
        code(kind == '{');
      }
    }
    if (error_) return *error_;
    push(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  size_t find_tag(size_t from) const {
    for (size_t i = from; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && std::strchr("{%#", source_[i + 1])) return i;
    }
    return source_.size();
  }

  // Emits the text up to the tag at `tag`, without the white space that the tag takes.
  void text_before(size_t tag) {
    std::string_view text(source_.data() + pos_, tag - pos_);
    const int lines = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (tag < source_.size() && sign == '-') {
      text = text.substr(0, text.find_last_not_of(kSpace) + 1);
    } else if (tag < source_.size() && source_[tag + 1] != '{' && sign != '+') {
      text = lstrip_block(text);
    }
    if (!text.empty()) push_value(TokenKind::kText, from_utf8(text));
    line_ += lines;
  }

  // lstrip_blocks: a tag that stands first on its line takes the white space before it.
  std::string_view lstrip_block(std::string_view text) const {
    const size_t newline = text.rfind('\n');
    const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if (start == 0 && !line_starts_) return text;
    if (text.find_first_not_of(kSpace, start) != std::string_view::npos) return text;
    return text.substr(0, start);
  }

  // Steps over the white space after a tag that ended at pos_: all of it after "-", else with
  // `trim` (trim_blocks) one newline.
  void after_tag(bool dash, bool trim) {
    const size_t begin = pos_;
    if (dash) {
      pos_ = std::min(source_.find_first_not_of(kSpace, pos_), source_.size());
    } else if (trim && pos_ < source_.size() && source_[pos_] == '\n') {
      ++pos_;
    }
    line_ += static_cast<int>(std::count(source_.begin() + begin, source_.begin() + pos_, '\n'));
    line_starts_ = pos_ > begin && source_[pos_ - 1] == '\n';
  }

  void comment() {
    const size_t end = source_.find("#}", pos_ + 2);
    if (end == std::string::npos) return fail("a comment without \"#}\"");
    line_ += static_cast<int>(std::count(source_.begin() + pos_, source_.begin() + end, '\n'));
    pos_ = end + 2;
    after_tag(source_[end - 1] == '-', source_[end - 1] != '+');
  }

  // Reads "{%[-+] word [-+]%}" at `at` and returns where it ends.
  struct Tag {
    size_t end;
    char sign;
  };
  std::optional<Tag> simple_tag(size_t at, std::string_view word) const {
    size_t i = at + 2;
    if (i < source_.size() && std::strchr("-+", source_[i])) ++i;
    i = source_.find_first_not_of(kSpace, i);
    if (i == std::string::npos || source_.compare(i, word.size(), word) != 0) return std::nullopt;
    i = source_.find_first_not_of(kSpace, i + word.size());
    if (i == std::string::npos) return std::nullopt;
    const char sign = std::strchr("-+", source_[i]) ? source_[i++] : ' ';
    if (source_.compare(i, 2, "%}") != 0) return std::nullopt;
    return Tag{i + 2, sign};
  }

  bool raw_block() {
    const auto begin = simple_tag(pos_, "raw");
    if (!begin) return false;
    pos_ = begin->end;
    after_tag(begin->sign == '-', begin->sign != '+');
    for (size_t at = source_.find("{%", pos_); at != std::string::npos;
         at = source_.find("{%", at + 2)) {
      const auto end = simple_tag(at, "endraw");
      if (!end) continue;
      text_before(at);
      pos_ = end->end;
      after_tag(end->sign == '-', end->sign != '+');
      return true;
    }
    fail("a raw block without \"{% endraw %}\"");
    return true;
  }

  void code(bool output) {
    push(output ? TokenKind::kOutputBegin : TokenKind::kStatementBegin);
    pos_ += 2;
    if (pos_ < source_.size() && std::strchr("-+", source_[pos_])) ++pos_;
    const std::string_view closing = output ? "}}" : "%}";
    int depth = 0;  // of brackets, so that the "}}" of a dict in a dict ends no tag
    while (!error_) {
      const size_t next = source_.find_first_not_of(kSpace, pos_);
      if (next == std::string::npos) return fail("a tag without its end");
      line_ += static_cast<int>(std::count(source_.begin() + pos_, source_.begin() + next, '\n'));
      pos_ = next;
      const std::string_view rest = std::string_view(source_).substr(pos_);
      const char sign = rest[0];
      const bool signed_end =
          (sign == '-' || (sign == '+' && !output)) && rest.substr(1).starts_with(closing);
      if (depth == 0 && (signed_end || rest.starts_with(closing))) {
        pos_ += signed_end ? 3 : 2;
        push(output ? TokenKind::kOutputEnd : TokenKind::kStatementEnd);
        return after_tag(signed_end && sign == '-', !output && !signed_end);
      }
      if (is_name_start(sign)) {
        size_t n = 1;
        while (n < rest.size() && (is_name_start(rest[n]) || is_digit(rest[n]))) ++n;
        push(TokenKind::kName, std::string(rest.substr(0, n)));
        pos_ += n;
      } else if (is_digit(sign)) {
        number(rest);
      } else if (sign == '"' || sign == '\'') {
        string(rest);
      } else {
        depth += std::strchr("([{", sign) ? 1 : std::strchr(")]}", sign) ? -1 : 0;
        operator_token(rest);
      }
    }
  }

  void number(std::string_view rest) {
    size_t n = 0;
    bool is_float = false;
    while (n < rest.size() && (is_digit(rest[n]) || rest[n] == '_')) ++n;
    if (n + 1 < rest.size() && rest[n] == '.' && is_digit(rest[n + 1])) {
      is_float = true;
      for (++n; n < rest.size() && is_digit(rest[n]);) ++n;
    }
    if (n + 1 < rest.size() && (rest[n] | 0x20) == 'e') {
      const size_t sign = rest[n + 1] == '-' || rest[n + 1] == '+' ? 1 : 0;
      if (n + 1 + sign < rest.size() && is_digit(rest[n + 1 + sign])) {
        is_float = true;
        for (n += 1 + sign; n < rest.size() && is_digit(rest[n]);) ++n;
      }
    }
    std::string digits(rest.substr(0, n));
    std::erase(digits, '_');
    pos_ += n;
    int64_t integer = 0;
    double real = 0;
    const char* end = digits.data() + digits.size();
    const auto result = is_float ? std::from_chars(digits.data(), end, real)
                                 : std::from_chars(digits.data(), end, integer);
    if (result.ec != std::errc{}) return fail("the number " + digits + " is out of range");
    if (is_float) {
      push_value(TokenKind::kFloat, real);
    } else {
      push_value(TokenKind::kInteger, integer);
    }
  }

  void string(std::string_view rest) {
    std::string raw;  // UTF-8
    size_t i = 1;
    for (; i < rest.size() && rest[i] != rest[0]; ++i) {
      if (rest[i] == '\n') ++line_;
      if (rest[i] != '\\' || i + 1 == rest.size()) {
        raw += rest[i];
        continue;
      }
      const char c = rest[++i];
      constexpr std::string_view kLetters = "ntrbfva0\\'\"";
      constexpr std::string_view kMeanings("\n\t\r\b\f\v\a\0\\'\"", 11);
      const size_t at = kLetters.find(c);
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (digits > 0) {
        uint32_t value = 0;
        const std::string_view hex = rest.substr(i + 1, digits);
        const auto [end, code] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
        if (code != std::errc{} || end != hex.data() + digits || value > 0x10FFFF) {
          return fail("a string with a malformed escape");
        }
        raw += to_utf8(String(1, static_cast<char32_t>(value)));
        i += digits;
      } else if (at != std::string_view::npos) {
        raw += kMeanings[at];
      } else if (c != '\n') {
        raw += '\\';
        raw += c;
      }
    }
    if (i >= rest.size()) return fail("a string without its end");
    pos_ += i + 1;
    push_value(TokenKind::kString, from_utf8(raw));
  }

  void operator_token(std::string_view rest) {
    for (std::string_view op : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (rest.starts_with(op)) {
        pos_ += 2;
        return push(TokenKind::kOperator, std::string(op));
      }
    }
    if (!std::strchr("+-*/%~<>=.,:|()[]{}", rest[0]) || rest[0] == '\0') {
      return fail(std::string("an unexpected character '") + rest[0] + "'");
    }
    ++pos_;
    push(TokenKind::kOperator, std::string(1, rest[0]));
  }

  void push(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, std::move(text), {}, line_});
  }
  void push_value(TokenKind kind, Value value) {
    tokens_.push_back({kind, {}, std::move(value), line_});
  }
  void fail(const std::string& found) {
    if (!error_) error_ = template_error(line_, "expected a complete template, found " + found);
  }

  std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // nothing but white space stands before pos_ on its line
  std::vector<Token> tokens_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

Error template_error(int line, const std::string& message) {
  return invalid_argument("chat template, line " + std::to_string(line) + ": " + message,
                          "messages", "chat_template_error");
}

}  // namespace ernie::text::jinja
