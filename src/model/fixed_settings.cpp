#include "model/fixed_settings.h"

#include <boost/json/value.hpp>
#include <vector>

namespace ernie::model {
namespace {

struct FixedSetting {
  const char* key;
  std::vector<boost::json::value> accepted;
};

using Table = std::vector<FixedSetting>;

void require(ConfigReader& reader, const Table& table) {
  for (const FixedSetting& setting : table) reader.require_one_of(setting.key, setting.accepted);
}

}  // namespace

void require_decoder_settings(ConfigReader& reader) {
  static const Table kTable{
      {"hidden_act", {"silu", "swiglu"}},
      {"activation_function", {"silu", "swiglu"}},
      {"use_bias", {false}},
      {"expert_mlp_use_bias", {false}},
      {"use_rmsnorm", {true}},
      {"scale_qk_coeff", {1}},
      {"compression_ratio", {1}},  // positions are divided by it
      {"partial_rotary_factor", {1}},
      {"cachekv_quant", {false}},
  };
  require(reader, kTable);
}

void require_moe_settings(ConfigReader& reader) {
  static const Table kTable{
      {"moe_gate", {"topk", "top2_fused"}},  // two names of one router
      {"moe_gate_act", {"softmax"}},
      {"scoring_func", {"softmax"}},
      {"moe_norm_gate_logits", {true}},
      {"moe_group_experts", {false}},
      {"n_group", {0, 1}},
      {"topk_group", {0, 1}},
      {"scaling_factor", {1}},
      {"routed_scaling_factor", {1}},
      {"moe_num_dense_experts", {0}},
      {"moe_num_attn_experts", {false, 0}},
      {"moe_reverse_token_drop", {false}},
      {"use_fake_gate", {false}},
      {"use_elastic_topk", {false}},
      {"use_elastic_expert_num", {false}},
  };
  require(reader, kTable);
}

void require_vision_settings(ConfigReader& reader) {
  static const Table kTable{
      {"rope_3d", {true}},
      {"moe_use_hard_gate", {true}},  // a token's modality decides among which experts it chooses
      {"moe_use_token_type_bias", {false}},
      {"moe_multimodal_paired_experts", {false}},
      {"mm_vocab_size", {0}},
      {"spatial_conv_size", {2}},
      {"temporal_conv_size", {2}},
      {"use_temporal_conv", {true}},
  };
  require(reader, kTable);
}

void require_vision_tower_settings(ConfigReader& reader) {
  static const Table kTable{
      {"hidden_act", {"quick_gelu"}},
      {"in_channels", {3}},
      {"in_chans", {3}},
      {"spatial_merge_size", {2}},
      {"temporal_merge_size", {2}},
      {"variable_resolution", {true, 1}},
  };
  require(reader, kTable);
}

void require_rope_settings(ConfigReader& reader) {
  static const Table kTable{
      {"rope_type", {"default", "mrope"}},
      {"type", {"default", "mrope"}},
      {"partial_rotary_factor", {1}},
  };
  require(reader, kTable);
}

void require_picture_settings(ConfigReader& reader) {
  using boost::json::array;
  static const Table kTable{
      {"do_resize", {true}},
      {"do_rescale", {true}},
      {"do_normalize", {true}},
      {"resample", {3, "bicubic"}},  // Pillow's number
      {"rescale_factor", {1.0 / 255.0}},
      {"image_mean", {array{0.48145466, 0.4578275, 0.40821073}}},
      {"image_std", {array{0.26862954, 0.26130258, 0.27577711}}},
      {"merge_size", {2}},
      {"temporal_conv_size", {2}},
  };
  require(reader, kTable);
}

}  // namespace ernie::model
