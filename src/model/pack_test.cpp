// Folders of `ernie pack`: written from a checkpoint, loaded, damaged.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "model/pack_index.h"
#include "model/pack_writer.h"
#include "model/safetensors.h"
#include "model/testing/tiny_folder.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::TempFolder;
using testing::TensorMap;
using testing::wide_config_json;

std::unique_ptr<ops::Backend> make_backend() { return cpu::make_cpu_backend({.threads = 1}); }

std::vector<float> folder_logits(const std::string& folder, int ranks = 1,
                                 const std::optional<Quantization>& quantization = {},
                                 DType activation = DType::kF32) {
  return testing::folder_logits(folder, make_backend, ranks, quantization, activation);
}

TensorMap wide_pt_tensors(const std::string& type = "BF16") {
  return testing::tiny_pt_tensors(testing::wide_config(), *make_backend(), 1, type);
}

void write_checkpoint(const TempFolder& folder, const TensorMap& tensors) {
  folder.write("config.json", wide_config_json());
  folder.write("tokenizer.model", "words");
  folder.write("pytorch_model.bin", "weights of another kind");
  folder.write("model.safetensors", safetensors_bytes(tensors));
}

Quantization mix(const std::string& name) { return *parse_quantization(name); }

// A packed checkpoint in the folder "pack" of a temporary one.
struct Packed {
  Packed(const TensorMap& tensors, const Quantization& quantization, int ranks) {
    write_checkpoint(checkpoint, tensors);
    pack(quantization, ranks);
  }
  void pack(const Quantization& quantization, int ranks) {
    write_pack(*load_config(checkpoint.path()), checkpoint.path(),
               {.quantization = quantization,
                .tensor_parallel_size = ranks,
                .progress =
                    [this](size_t done, size_t total) {
                      steps.push_back(done);
                      bytes = total;
                    }},
               path());
  }
  std::string path() const { return folder.path() + "/pack"; }
  std::string file(int rank, int ranks) const { return path() + "/" + pack_file_name(rank, ranks); }

  TempFolder checkpoint;
  TempFolder folder;
  std::vector<size_t> steps;
  size_t bytes = 0;
};

struct Case {
  std::string quantization;
  int ranks;
  DType activation;
};

class Pack : public ::testing::TestWithParam<Case> {};

TEST_P(Pack, GivesTheLogitsOfTheCheckpointBitForBit) {
  const auto& [name, ranks, activation] = GetParam();
  const TensorMap tensors = wide_pt_tensors();
  for (const TensorMap& stored :
       {testing::pt_layout(tensors), testing::hf_layout(tensors),
        testing::paddle_layout(tensors, true, false), testing::pt_layout(wide_pt_tensors("F32"))}) {
    const Packed packed(stored, mix(name), ranks);
    EXPECT_EQ(folder_logits(packed.path(), ranks, {}, activation),
              folder_logits(packed.checkpoint.path(), ranks, mix(name), activation));
  }
}

INSTANTIATE_TEST_SUITE_P(QuantizationsAndRanks, Pack,
                         ::testing::Values(Case{"wint4", 1, DType::kF32},
                                           Case{"wint4", 2, DType::kF32},
                                           Case{"wint4", 2, DType::kBF16},
                                           Case{"wint8", 2, DType::kBF16},
                                           Case{"wint4-g32", 2, DType::kBF16}));

TEST(PackFolder, MixesOfQuantisedAndPlainMatrices) {
  const Quantization experts{{}, WeightFormat{WeightType::kInt4, 32}, {}};
  const Packed packed(testing::pt_layout(wide_pt_tensors()), experts, 2);
  EXPECT_EQ(folder_logits(packed.path(), 2), folder_logits(packed.checkpoint.path(), 2, experts));
  EXPECT_EQ(folder_logits(packed.path(), 2, experts), folder_logits(packed.path(), 2));
}

TEST(PackFolder, HoldsTheOtherFilesAndReportsProgress) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 2);
  std::set<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(packed.path())) {
    names.insert(item.path().filename());
  }
  EXPECT_EQ(names, (std::set<std::string>{"config.json", "tokenizer.model", "ernie_pack.json",
                                          "rank-0-of-2.safetensors", "rank-1-of-2.safetensors"}));
  EXPECT_FALSE(std::filesystem::exists(packed.path() + ".partial"));
  EXPECT_EQ(packed.steps.front(), 0u);
  EXPECT_EQ(packed.steps.back(), packed.bytes);
  EXPECT_TRUE(std::is_sorted(packed.steps.begin(), packed.steps.end()));
}

template <class F>
std::string error_of(const F& run) {
  try {
    run();
  } catch (const StartError& error) {
    return error.what();
  }
  return "no error";
}

TEST(PackRefusal, WhatCannotBeWritten) {
  Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 1);
  EXPECT_THAT(error_of([&] { packed.pack(mix("wint4"), 1); }),
              AllOf(HasSubstr("--output"), HasSubstr(packed.path())));
  std::filesystem::rename(packed.path(), packed.path() + "-done");
  EXPECT_THAT(error_of([&] { packed.pack(mix("wint4-g64"), 2); }), HasSubstr("fewer ranks"));
  EXPECT_THAT(error_of([&] { packed.pack(mix("wint4"), 3); }), HasSubstr("3"));
  std::filesystem::create_directory(packed.path() + ".partial");
  EXPECT_THAT(error_of([&] { packed.pack(mix("wint4"), 1); }), HasSubstr(".partial"));
  std::filesystem::remove(packed.path() + ".partial");
  EXPECT_THAT(error_of([&] {
                write_pack(*load_config(packed.path() + "-done"), packed.path() + "-done",
                           {.quantization = mix("wint4")}, packed.path());
              }),
              HasSubstr("quantised already"));
  TensorMap some = testing::pt_layout(wide_pt_tensors());
  some["model.layers.7.mlp.up_proj.weight"] = {{1}, {1}};
  write_checkpoint(packed.checkpoint, some);
  EXPECT_THAT(error_of([&] { packed.pack(mix("wint4"), 1); }), HasSubstr("model.layers.7"));
  EXPECT_FALSE(std::filesystem::exists(packed.path()));
  EXPECT_FALSE(std::filesystem::exists(packed.path() + ".partial"));
}

TEST(PackRefusal, AnotherNumberOfRanksOrAnotherQuantization) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 2);
  EXPECT_THAT(error_of([&] { folder_logits(packed.path(), 1); }),
              AllOf(HasSubstr("--tensor-parallel-size: expected 2"), HasSubstr("found 1")));
  EXPECT_THAT(error_of([&] { folder_logits(packed.path(), 2, mix("wint8")); }),
              AllOf(HasSubstr("--quantization: expected int4 experts, int8 elsewhere"),
                    HasSubstr("found int8")));
  EXPECT_THAT(error_of([&] { folder_logits(packed.path(), 2, mix("bf16")); }),
              HasSubstr("found bfloat16"));
}

void replace_in(const std::string& path, const std::string& from, const std::string& to) {
  const std::string text = testing::replaced(*text::read_file(path), from, to);
  std::ofstream(path, std::ios::binary) << text;
}

// A83
TEST(PackRefusal, AnotherVersionOrGeometry) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 1);
  replace_in(packed.path() + "/config.json", "\"moe_num_shared_experts\": 2",
             "\"moe_num_shared_experts\": 1");
  EXPECT_THAT(error_of([&] { folder_logits(packed.path()); }),
              AllOf(HasSubstr("shared_experts to be 2"), HasSubstr("found 1")));
  replace_in(pack_index_path(packed.path()), "\"version\":1", "\"version\":2");
  EXPECT_THAT(error_of([&] { folder_logits(packed.path()); }),
              AllOf(HasSubstr("ernie_pack.json: expected format version 1"), HasSubstr("found 2")));
}

// A number that decides answers but no shape.
// A83
TEST(PackRefusal, AConfigurationThatWasEdited) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 1);
  replace_in(packed.path() + "/config.json", "\"moe_k\": 2", "\"moe_k\": 1");
  EXPECT_THAT(
      error_of([&] { folder_logits(packed.path()); }),
      AllOf(HasSubstr("config.json: expected checksum"), HasSubstr("pack the model again")));
}

TEST(PackFolder, ServesTextOnly) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 1);
  const ModelConfig config = *load_config(packed.path());
  LoadOptions options = testing::tiny_options();
  options.text_only = true;
  const auto backend = make_backend();
  const auto comm = make_single_communicator();
  const auto model = load_model(config, packed.path(), options, *backend, *comm);
  EXPECT_EQ(model->weight_bytes(),
            plan_memory(config, options, 1, backend->sizing())->weight_bytes);
}

// A83
TEST(PackRefusal, AnIndexThatIsNone) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 1);
  const std::string index = *text::read_file(pack_index_path(packed.path()));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"wint4", "wint5"},
                                                        {"\"files\"", "\"file\""},
                                                        {"\"header\":\"", "\"header\":\"x"},
                                                        {"\"bytes\":", "\"bytes\":-"},
                                                        {"rank-0", "rank-3"}}) {
    std::ofstream(pack_index_path(packed.path())) << testing::replaced(index, from, to);
    EXPECT_THAT(error_of([&] { folder_logits(packed.path()); }), HasSubstr("ernie_pack.json"))
        << from;
  }
}

// A83
TEST(PackRefusal, TruncatedFiles) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 2);
  const std::string file = packed.file(1, 2);
  const size_t size = std::filesystem::file_size(file);
  std::filesystem::resize_file(file, size - 1);
  EXPECT_THAT(error_of([&] { folder_logits(packed.path(), 2); }),
              AllOf(HasSubstr(file + ": expected " + std::to_string(size)),
                    HasSubstr("found " + std::to_string(size - 1))));
  std::filesystem::remove(file);
  EXPECT_THAT(error_of([&] { folder_logits(packed.path(), 2); }), HasSubstr(file));
}

// A83
TEST(PackRefusal, AFlippedBitNamesTensorAndFile) {
  const Packed packed(testing::pt_layout(wide_pt_tensors()), mix("wint4"), 2);
  const std::string file = packed.file(1, 2);
  const std::string content = *text::read_file(file);
  const auto flip = [&](size_t at) {
    std::string damaged = content;
    damaged[at] ^= 16;
    std::ofstream(file, std::ios::binary) << damaged;
    return error_of([&] { folder_logits(packed.path(), 2); });
  };
  const SafetensorsFile intact(file);
  size_t at = intact.header().size();
  std::vector<std::pair<std::string, size_t>> tensors;
  for (const StoredTensor& tensor : intact.tensors()) {
    tensors.emplace_back(tensor.name, at + tensor.bytes / 2);
    at += tensor.bytes;
  }
  for (size_t i = 0; i < tensors.size(); i += 3) {
    EXPECT_THAT(
        flip(tensors[i].second),
        AllOf(HasSubstr(file), HasSubstr("\"" + tensors[i].first + "\""), HasSubstr("checksum")));
  }
  for (size_t header = 0; header < intact.header().size(); header += 97) {
    EXPECT_THAT(flip(header), AllOf(HasSubstr(file), HasSubstr("the file is damaged"))) << header;
  }
  EXPECT_EQ(flip(content.size() - 1).substr(0, file.size()), file);
}

}  // namespace
}  // namespace ernie::model
