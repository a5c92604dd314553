#include "text/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <functional>
#include <map>
#include <tuple>

#include "text/bpe.h"
#include "text/test_support.h"

namespace ernie::text {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

json::object metaspace() {
  return {{"type", "Metaspace"},
          {"replacement", "\u2581"},
          {"prepend_scheme", "never"},
          {"split", false}};
}

// The toy tokenizer as transformers 5 converts it: every split of a piece into two pieces is a
// merge, in the order of the pieces' scores.
json::object converted() {
  const Result<Bpe> bpe = Bpe::load(std::filesystem::path(kToyTokenizer) / "tokenizer.model");
  const auto& model = bpe->model();
  std::map<std::string, int> ids;
  for (int id = 0; id < model.GetPieceSize(); ++id) ids.emplace(model.IdToPiece(id), id);
  std::vector<std::tuple<float, size_t, std::string, std::string>> merges;
  for (const auto& [piece, id] : ids) {
    for (size_t at = 1; at < piece.size(); ++at) {
      const std::string left = piece.substr(0, at), right = piece.substr(at);
      if (ids.contains(left) && ids.contains(right)) {
        merges.emplace_back(-model.GetScore(id), left.size(), left, right);
      }
    }
  }
  std::sort(merges.begin(), merges.end());
  json::object vocabulary;
  for (const auto& [piece, id] : ids) vocabulary.emplace(piece, id);
  json::array list, added;
  for (const auto& [score, length, left, right] : merges) list.push_back(json::array{left, right});
  const Tokenizer& toy = toy_tokenizer();
  for (int id = 0; id < toy.vocab_size(); ++id) {
    if (!toy.is_added(id)) continue;
    added.push_back(
        {{"id", id}, {"content", toy.token_bytes(id)}, {"special", toy.is_special(id)}});
  }
  return {{"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", metaspace()},
          {"model",
           {{"type", "BPE"},
            {"unk_token", nullptr},
            {"dropout", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"ignore_merges", false},
            {"vocab", vocabulary},
            {"merges", list}}}};
}

Result<Tokenizer> load(const json::object& tokenizer) {
  const TempFolder folder;
  folder.write("tokenizer.json", json::serialize(tokenizer));
  return Tokenizer::load(folder.path());
}

void expect_the_toy_tokenizer(const Result<Tokenizer>& tokenizer) {
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Tokenizer& toy = toy_tokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), toy.vocab_size());
  std::ifstream lines(std::string(kToyTokenizer) + "/encode.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const std::string text(json::parse(line).at("text").get_string());
    for (const bool special : {true, false}) {
      const auto ids = tokenizer->encode(text, {.parse_special = special});
      ASSERT_EQ(ids, toy.encode(text, {.parse_special = special})) << text;
      ASSERT_EQ(tokenizer->decode(ids), toy.decode(ids)) << text;
    }
  }
  for (int id = 0; id < toy.vocab_size(); ++id) {
    ASSERT_EQ(tokenizer->token_bytes(id), toy.token_bytes(id)) << id;
    ASSERT_EQ(tokenizer->is_added(id), toy.is_added(id)) << id;
    ASSERT_EQ(tokenizer->is_special(id), toy.is_special(id)) << id;
  }
}

TEST(TokenizerJson, AloneGivesTheIdsOfTheModelItWasMadeFrom) {
  const Result<Tokenizer> tokenizer = load(converted());
  expect_the_toy_tokenizer(tokenizer);
  const Tokenizer& toy = toy_tokenizer();
  EXPECT_EQ(tokenizer->unk_id(), toy.unk_id());
  EXPECT_EQ(tokenizer->bos_id(), toy.bos_id());
  EXPECT_EQ(tokenizer->eos_id(), toy.eos_id());
  EXPECT_EQ(tokenizer->cls_id(), toy.cls_id());
  EXPECT_EQ(tokenizer->sep_id(), toy.sep_id());
  EXPECT_EQ(tokenizer->think_end_id(), toy.think_end_id());
}

TEST(TokenizerJson, OfOlderVersions) {
  json::object tokenizer = converted();
  tokenizer["pre_tokenizer"] = nullptr;
  tokenizer["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       json::array{{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}};
  tokenizer["model"].as_object()["unk_token"] = "<unk>";
  for (json::value& merge : tokenizer["model"].at("merges").as_array()) {
    merge = std::string(merge.at(0).as_string()) + " " + std::string(merge.at(1).as_string());
  }
  expect_the_toy_tokenizer(load(tokenizer));
}

TEST(TokenizerJson, IsNotReadBesideAModel) {
  const TempFolder folder;
  std::filesystem::copy(kToyTokenizer, folder.path());
  folder.write("tokenizer.json", "{");
  expect_the_toy_tokenizer(Tokenizer::load(folder.path()));
}

struct Change {
  std::function<void(json::object&)> apply;
  const char* said;
};

// A80
TEST(TokenizerJson, WhatCannotBeReadTheSameIsRefusedByName) {
  const auto model = [](const char* key, const json::value& value) {
    return [=](json::object& tokenizer) { tokenizer["model"].as_object()[key] = value; };
  };
  const auto top = [](const char* key, const json::value& value) {
    return [=](json::object& tokenizer) { tokenizer[key] = value; };
  };
  const auto first_space = [](const char* scheme, bool split) {
    json::object splitter = metaspace();
    splitter["prepend_scheme"] = scheme;
    splitter["split"] = split;
    return splitter;
  };
  const Change changes[] = {
      {model("type", "Unigram"), "model.type: expected \"BPE\", found \"Unigram\""},
      {model("byte_fallback", false), "model.byte_fallback: expected true"},
      {model("ignore_merges", true), "model.ignore_merges: expected false"},
      {model("end_of_word_suffix", "</w>"), "model.end_of_word_suffix"},
      {model("unk_token", "<none>"), "model.unk_token"},
      {model("vocab", json::array{}), "vocab: expected an object"},
      {model("vocab", {{"a", 1}}), "model.vocab: \"a\": expected ids from 0 to 0"},
      {model("merges", "a b"), "model.merges: expected a list"},
      {model("merges", json::array{"a"}), "model.merges: expected pairs"},
      {model("merges", json::array{}), "merges, all that two pieces make, found 0"},
      {top("model", nullptr), "model: expected an object"},
      {top("pre_tokenizer", {{"type", "ByteLevel"}}), "pre_tokenizer: expected"},
      {top("pre_tokenizer", nullptr), "pre_tokenizer: expected"},
      {top("pre_tokenizer", first_space("first", false)), "\"prepend_scheme\":\"never\""},
      {top("pre_tokenizer", first_space("never", true)), "pre_tokenizer"},
      {top("normalizer", {{"type", "NFKC"}}), "normalizer: expected null"},
      {top("added_tokens", json::array{{{"id", -1}, {"content", "<x>"}}}), "expected a token id"},
      {top("added_tokens", json::array{3}), "added_tokens: expected objects"},
      {[](json::object& tokenizer) {
         json::array& merges = tokenizer["model"].at("merges").as_array();
         std::rotate(merges.begin(), merges.begin() + 2, merges.end());
       },
       "model.merges: expected all merges to one piece in a row"},
  };
  const json::object good = converted();
  for (const Change& change : changes) {
    json::object tokenizer = good;
    change.apply(tokenizer);
    const Result<Tokenizer> loaded = load(tokenizer);
    ASSERT_FALSE(loaded) << change.said;
    EXPECT_THAT(loaded.error().message,
                AllOf(HasSubstr("tokenizer.json: "), HasSubstr(change.said)));
  }
}

}  // namespace
}  // namespace ernie::text
