#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "model/testing/checkpoint_writer.h"
#include "model/testing/tiny_model.h"

namespace ernie::model {
namespace {

using testing::safetensors_bytes;
using testing::TempFolder;
using testing::tiny_config;

// The checkpoint still holds the tower and the vision experts; they are neither missed nor kept.
TEST(TextOnly, AnswersTextAsTheWholeModelAndHoldsNothingForPictures) {
  const ModelConfig config = tiny_config();
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  TempFolder folder;
  folder.write("model.safetensors", safetensors_bytes(testing::tiny_pt_tensors(config, *backend)));
  const auto comm = make_single_communicator();
  Prompt prompt;
  prompt.tokens = {3, 5, 8, 13};
  prompt.positions = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}};
  prompt.is_vision = {0, 0, 0, 0};
  prompt.next_position = 4;
  size_t bytes[2] = {};
  std::vector<float> logits[2];
  for (const bool text_only : {false, true}) {
    LoadOptions options = testing::tiny_options();
    options.text_only = text_only;
    const auto source = open_checkpoint_source(config, folder.path());
    const auto model = ernie45_vl::build(config, options, *source, *backend, *comm);
    EXPECT_EQ(model->config().vision.has_value(), !text_only);
    bytes[text_only] = model->weight_bytes();
    const auto planned = plan_memory(config, options, 1, backend->sizing());
    EXPECT_EQ(model->weight_bytes(), planned->weight_bytes);
    EXPECT_EQ(model->workspace_bytes(), planned->workspace_bytes);
    logits[text_only] = testing::PromptRunner({*model, *backend}).run(prompt);
  }
  EXPECT_LT(bytes[1], bytes[0] * 3 / 4);
  EXPECT_EQ(logits[1], logits[0]);
}

}  // namespace
}  // namespace ernie::model
