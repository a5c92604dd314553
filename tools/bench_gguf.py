#!/usr/bin/env python3
"""bench_gguf.py OUT.gguf: a dummy bf16 model of ERNIE-4.5-0.3B's geometry for llama.cpp's own benchmark."""
import sys

import gguf
import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INNER, VOCAB = 1024, 18, 16, 2, 128, 3072, 103424


def main() -> None:
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(sys.argv[1], "ernie4_5")
    writer.add_context_length(131072)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>"] + [f"t{i}".encode() for i in range(1, VOCAB)])
    writer.add_token_scores([0.0] * VOCAB)
    writer.add_token_types([2] + [1] * (VOCAB - 1))

    def matrix(name, rows, cols):
        values = (rng.standard_normal((rows, cols), dtype=np.float32) * 0.02).view(np.uint32) >> 16
        writer.add_tensor(name, values.astype(np.uint16).view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)

    def norm(name):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", VOCAB, HIDDEN)
    norm("output_norm.weight")
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
        matrix(f"blk.{i}.ffn_gate.weight", INNER, HIDDEN)
        matrix(f"blk.{i}.ffn_up.weight", INNER, HIDDEN)
        matrix(f"blk.{i}.ffn_down.weight", HIDDEN, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
