#include "model/model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "model/testing/tiny_model.h"

namespace ernie::model {
namespace {

// For each layer whether tiny_prompt() leaves anything in its cache.
std::vector<bool> layers_that_run(const ModelConfig& config, bool rehearsal) {
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  const auto comm = make_single_communicator();
  auto options = testing::tiny_options();
  options.choice = LoadChoice::kDummy;
  const auto model = load_model(config, "", options, *backend, *comm);
  testing::PromptRunner runner({.model = *model, .backend = *backend, .rehearsal = rehearsal});
  for (const ops::KvLayer& layer : runner.cache()) {
    const std::vector<uint8_t> zeros(layer.keys.bytes());
    backend->copy_to_device(layer.keys.data, zeros.data(), zeros.size());
  }
  runner.run(testing::tiny_prompt());
  std::vector<bool> written;
  for (const ops::KvLayer& layer : runner.cache()) {
    std::vector<uint8_t> bytes(layer.keys.bytes());
    backend->copy_to_host(bytes.data(), layer.keys.data, bytes.size());
    written.push_back(std::ranges::any_of(bytes, [](uint8_t byte) { return byte != 0; }));
  }
  return written;
}

TEST(Model, ARehearsalRunsLayersUntilEachKindWasThere) {
  ModelConfig config = testing::tiny_config();
  config.num_layers = 5;
  config.moe->first_layer = 2;
  config.moe->last_layer = 4;
  EXPECT_EQ(layers_that_run(config, false), std::vector<bool>(5, true));
  EXPECT_EQ(layers_that_run(config, true), (std::vector{true, true, true, false, false}));
  config.moe->first_layer = 0;  // all alike
  EXPECT_EQ(layers_that_run(config, true), (std::vector{true, false, false, false, false}));
}

}  // namespace
}  // namespace ernie::model
