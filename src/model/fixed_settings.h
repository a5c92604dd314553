#pragma once

#include "model/config_reader.h"

namespace ernie::model {

// Settings of config.json that change what a model computes and of which one value is implemented.
// Each function refuses every other value; a key that is absent or null is accepted. The keys are
// those that the code of PaddlePaddle/ERNIE, PaddleFormers, FastDeploy and transformers reads for
// this family. Settings of training, of parallelism and of fused kernels are not among them.
void require_decoder_settings(ConfigReader& reader);
void require_moe_settings(ConfigReader& reader);
void require_vision_settings(ConfigReader& reader);        // of a model that takes pictures
void require_vision_tower_settings(ConfigReader& reader);  // of its vision_config
void require_rope_settings(ConfigReader& reader);          // of rope_parameters or rope_scaling
// The same for the files of picture processors.
void require_picture_settings(ConfigReader& reader);

}  // namespace ernie::model
