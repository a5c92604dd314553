"""Sizes of the demo model and its config files."""

import dataclasses
import json
import os

import preprocess


@dataclasses.dataclass(frozen=True)
class Config:
    vocab: int = 2176
    hidden: int = 512
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 128
    dense: int = 1024  # MLP width of layer 0
    experts: int = 8  # per modality
    top_k: int = 2
    text_width: int = 64
    vision_width: int = 64
    shared_width: int = 64  # one shared expert of the text width
    rope_theta: float = 500000.0
    time_freqs: int = 20
    vit_hidden: int = 240
    vit_heads: int = 3
    vit_depth: int = 7
    vit_mlp: int = 960


DEMO = Config()


def flat(c, tok):
    """The original checkpoints' config.json."""
    return {
        "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"],
        "model_type": "ernie4_5_moe_vl",
        "torch_dtype": "bfloat16",
        "vocab_size": c.vocab,
        "hidden_size": c.hidden,
        "intermediate_size": c.dense,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": c.rope_theta,
        "rope_3d": True,
        "freq_allocation": c.time_freqs,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "use_bias": False,
        "use_cache": True,
        "moe_num_experts": [c.experts, c.experts],
        "moe_k": c.top_k,
        "moe_intermediate_size": [c.text_width, c.vision_width],
        "moe_num_shared_experts": c.shared_width // c.text_width,
        "moe_layer_start_index": [1, 1],
        "moe_layer_end_index": [c.layers - 1, c.layers - 1],
        "moe_layer_interval": 1,
        "moe_use_aux_free": True,
        "moe_norm_min": 1e-12,
        "moe_gate_act": "softmax",
        "spatial_conv_size": 2,
        "temporal_conv_size": 2,
        "use_temporal_conv": True,
        "pixel_hidden_size": c.vit_hidden,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "im_patch_id": tok.patch,
        "image_start_token_id": tok.ids["<|IMAGE_START|>"],
        "image_end_token_id": tok.ids["<|IMAGE_END|>"],
        "video_start_token_id": tok.ids["<|VIDEO_START|>"],
        "video_end_token_id": tok.ids["<|VIDEO_END|>"],
        "vision_config": {
            "model_type": "DFNRope_vision_transformer",
            "depth": c.vit_depth,
            "embed_dim": c.vit_hidden,
            "hidden_size": c.vit_hidden,
            "num_heads": c.vit_heads,
            "mlp_ratio": c.vit_mlp // c.vit_hidden,
            "hidden_act": "quick_gelu",
            "in_channels": 3,
            "in_chans": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
        },
    }


def native(c, tok):
    """The same as a transformers config object."""
    from transformers.models.ernie4_5_vl_moe.configuration_ernie4_5_vl_moe import Ernie4_5_VLMoeConfig
    hw = (c.head_dim // 2 - c.time_freqs) // 2
    return Ernie4_5_VLMoeConfig(
        text_config=dict(
            vocab_size=c.vocab, hidden_size=c.hidden, intermediate_size=c.dense, num_hidden_layers=c.layers,
            num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, moe_num_experts=c.experts,
            moe_k=c.top_k, moe_intermediate_size=[c.text_width, c.vision_width],
            moe_num_shared_experts=c.shared_width // c.text_width, max_position_embeddings=4096,
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta,
                             "mrope_section": [hw, hw, c.time_freqs]},
            bos_token_id=1, eos_token_id=2, pad_token_id=0),
        vision_config=dict(depth=c.vit_depth, hidden_size=c.vit_hidden, num_heads=c.vit_heads,
                           intermediate_size=c.vit_mlp),
        image_start_token_id=tok.ids["<|IMAGE_START|>"], image_end_token_id=tok.ids["<|IMAGE_END|>"],
        image_token_id=tok.patch, video_start_token_id=tok.ids["<|VIDEO_START|>"],
        video_end_token_id=tok.ids["<|VIDEO_END|>"], video_token_id=tok.ids["<|VIDEO_PLACEHOLDER|>"],
        tie_word_embeddings=True)


def write_files(folder, c, tok):
    """config.json, generation_config.json and the two preprocessor files."""
    def save(name, value):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=1)
            f.write("\n")
    pixels = {
        "min_pixels": preprocess.IMAGE_MIN_PIXELS, "max_pixels": preprocess.IMAGE_MAX_PIXELS,
        "video_min_pixels": preprocess.VIDEO_MIN_PIXELS, "video_max_pixels": preprocess.VIDEO_MAX_PIXELS,
    }
    save("config.json", flat(c, tok))
    save("generation_config.json", {
        "bos_token_id": 1, "eos_token_id": [2, tok.end], "pad_token_id": 0, "do_sample": False,
        "repetition_penalty": 1.0, "max_new_tokens": 256})
    save("preprocessor_config.json", {
        "image_processor_type": "Ernie4_5_VLImageProcessor", "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_mean": preprocess.MEAN, "image_std": preprocess.STD,
        "rescale_factor": 0.00392156862745098, "resample": 3, "patch_size": 14, "merge_size": 2,
        "temporal_conv_size": 2, **pixels, "draw_on_frames": False})
