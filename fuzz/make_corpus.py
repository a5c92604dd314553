#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, a folder each, into OUT: from golden files of the tests, and small texts of its own.

  fuzz/make_corpus.py OUT
"""
import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
MODELS = GOLDEN / "model"
MOST = 12_000  # bytes of a seed: short ones are quick


def heads():
    get = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: [::1]:80\r\nContent-Type: application/json\r\n"
    for text in (get, get.replace(b"1.1", b"1.0"), get.replace(b"/health", b"/a/b-c?x=%20&y"), get.replace(b"GET", b"OPTIONS"),
                 post + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n", post + b"Transfer-Encoding: chunked\r\n\r\n",
                 post + b"Content-Length: 1\r\nContent-Length: 1\r\nConnection: close, x\r\nAuthorization: Bearer k\r\n\r\n",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00"):
        yield b"\xff" + text
        yield b"\x02" + text


def chunks():
    for text in (b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"A;x=1\r\n0123456789\r\n00\r\n\r\n", b"1\r\na\r\n" * 30 + b"0\r\n\r\n",
                 b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\nA: b\r\n\r\n", b"ffffffffffffffff\r\nx"):
        yield b"\xff" + text
        yield b"\x00" + text


PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
OPTIONS = {"temperature": 0.5, "top_p": 1, "top_k": 3, "min_p": 0, "n": 2, "max_tokens": 5, "stop": ["a", "b"], "seed": 7,
           "stream": True, "stream_options": {"include_usage": True}, "logit_bias": {"5": -1.5}, "presence_penalty": -0.5,
           "repetition_penalty": 1.1, "bad_words": ["x"], "bad_words_token_ids": [4], "user": "u", "cache_salt": "s",
           "return_token_ids": True, "ignore_eos": False, "min_tokens": 1, "timeout_ms": 100, "metadata": {"a": "b"}}


def chats():
    parts = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
             {"type": "video", "video": [PICTURE, PICTURE], "fps": 2}]
    yield {"messages": [{"role": "user", "content": "Hi"}]}
    yield {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": parts},
                        {"role": "assistant", "content": "A", "reasoning_content": "R"}, {"role": "user", "content": "B"}],
           "enable_thinking": False, "reasoning_max_tokens": 3, "logprobs": True, "top_logprobs": 2, **OPTIONS}
    function = {"name": "see", "description": "d", "parameters": {"type": "object"}, "strict": True}
    call = {"id": "c", "type": "function", "function": {"name": "see", "arguments": "{}"}}
    yield {"messages": [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "r"}],
           "tools": [{"type": "function", "function": function}], "parallel_tool_calls": False, "reasoning_effort": "low",
           "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
               {"type": "function", "function": {"name": "see"}}]}}, "thinking": {"type": "enabled", "budget_tokens": 3}}
    yield {"messages": [{"role": "assistant", "content": "A"}], "functions": [function], "function_call": {"name": "see"},
           "continue_final_message": True, "reasoning": {"effort": "none"}}
    yield {"messages": [], "tools": [], "chat_template_kwargs": {"a": [1, None, "\u4f60"]}, "x": -0.0, "y": 1e300}


def anthropic_messages():
    yield {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    yield {"max_tokens": 5, "messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}]}
    yield {"max_tokens": 5, "messages": [{"role": "user", "content": []}]}
    yield {"max_tokens": 5, "system": [{"type": "text", "text": "S"}], "stop_sequences": ["a"], "stream": True,
           "thinking": {"type": "enabled", "budget_tokens": 2}, "tools": [{"name": "see", "input_schema": {"type": "object"}}],
           "tool_choice": {"type": "tool", "name": "see", "disable_parallel_tool_use": True},
           "output_config": {"format": {"type": "json_schema", "schema": {}}, "effort": "low"}, "messages": [
               {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
               {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""},
                                                 {"type": "tool_use", "id": "c", "name": "see", "input": {}}]},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "is_error": True, "content": [
                   {"type": "text", "text": "r"}, {"type": "image", "source": {"type": "url", "url": PICTURE}}]}]}]}


def responses():
    yield {"input": "Hi"}
    yield {"instructions": "S", "max_output_tokens": 5, "reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"],
           "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}}},
           "tools": [{"type": "function", "name": "see", "parameters": {}}], "tool_choice": {"type": "function", "name": "see"},
           "input": [{"role": "user", "content": [{"type": "input_text", "text": "q"}, {"type": "input_image", "image_url": PICTURE}]},
                     {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
                     {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                     {"type": "function_call", "call_id": "c", "name": "see", "arguments": "{}"},
                     {"type": "function_call_output", "call_id": "c", "output": "r"}]}


def answers():
    call = '<tool_call>\n{"name": "see", "arguments": {"a": [1, "}"], "b": "\\""}}\n</tool_call>'
    for text in ("red", "hm</think>\n\nred\n", "hm\n</think>\n\n<response>\nred\n</response>\n", call, f"One.\n{call}\n{call}\n",
                 call.replace("name", "n"), call[:40], '<tool_call>{"arguments": "{}", "name": "f"}', "<tool_call></tool_", "ab\n\n"):
        for flags in range(16):
            yield bytes([flags]) + text.encode()


def completions():
    for prompt in ("Hi", ["a", "b"], [1, 2, 3], [[1], [2, 3]], "", []):
        yield {"prompt": prompt, "echo": True, "logprobs": 1}
    yield {"prompt": "Hi", "suffix": None, "best_of": 1, **OPTIONS}


def urls():
    for host in ("example.com", "example.com:443", "93.184.216.34", "[2606:2800:220:1::1]", "127.0.0.1", "0x7f.1", "[::ffff:10.0.0.1]",
                 "a@b", "xn--a.com", "localhost.", "2130706433", "a.1", "a_b-c.d:80"):
        for scheme in ("http", "HTTPS"):
            yield f"{scheme}://{host}/a?b#c".encode()


def tensors():
    def file(header, data=b""):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data
    yield file({})
    yield file({"a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
                "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]}, "__metadata__": {"x": "y"}}, bytes(20))
    yield file({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 0]}})
    yield file({"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "b": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}},
               bytes(4))


def exif(order, entries):
    mark, pack = (b"II", "<") if order == "little" else (b"MM", ">")
    body = struct.pack(pack + "H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(pack + "HHIHH", tag, kind, count, value, 0)
    return mark + struct.pack(pack + "HI", 42, 8) + body + bytes(4)


def quantizations():
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32, "actorder": None, "dynamic": False}
    for change in ({}, {"num_bits": 8, "strategy": "channel", "group_size": None}, {"strategy": "group", "group_size": 128}):
        yield {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed", "ignore": ["lm_head"],
               "config_groups": {"group_0": {"targets": ["Linear", "re:.*mlp.*"], "weights": {**weights, **change},
                                             "input_activations": None, "output_activations": None}}}


def grammars():
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"$ref": "#/$defs/c"},
                                               "d": {"type": "array", "items": {"enum": ["x", 1, None]}, "maxItems": 3}},
              "required": ["a"], "additionalProperties": False, "$defs": {"c": {"anyOf": [
                  {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5}, {"type": "string", "format": "date"}]}}}
    tag = {"type": "structural_tag", "format": {"type": "triggered_tags", "triggers": ["<f"], "tags": [
        {"begin": "<f>", "content": {"type": "json_schema", "json_schema": schema}, "end": "</f>"}]}}
    yield b"\0" + json.dumps(schema).encode()
    for pattern in (r"(a|b)*[^\d\s]{2,5}x?", r"^\w+@\w+\.(com|org)$", "[\u4e00-\u9fff]{3}"):
        yield b"\1" + pattern.encode()
    for text in ('root ::= "a" item* | [0-9]\nitem ::= (root "," | "\\n")+ # x', 'root ::= x{2,3}\nx ::= [^"\\\\]'):
        yield b"\2" + text.encode()
    yield b"\3" + json.dumps(tag).encode()


def pack_index():
    digits = "0123456789abcdef" * 2
    yield {"version": 1, "tensor_parallel_size": 1, "geometry": {"hidden_size": 64}, "config": digits,
           "quantization": {"dense_quant_type": "wint8", "moe_quant_type": "wint4-g32", "image_moe_quant_type": "bf16"},
           "files": {"rank-0-of-1.safetensors": {"bytes": 10, "header": digits, "tensors": {"a.weight": digits}}}}


def pictures(pattern):
    return [path.read_bytes() for path in sorted((GOLDEN / "media").glob(pattern))]


def texts(*patterns):
    return [path.read_bytes() for pattern in patterns for path in sorted(GOLDEN.glob(pattern))]


def tokenizer_files():
    for folder in sorted(path for path in MODELS.iterdir() if path.is_dir()):
        yield b"\0".join((folder / name).read_bytes() for name in
                         ("added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"))


def templates():
    cases = json.loads((GOLDEN / "text/jinja.json").read_text())
    yield from {case["template"].encode() for case in cases}
    for path in sorted(MODELS.glob("*/tokenizer_config.json")):
        template = json.loads(path.read_text()).get("chat_template")
        if isinstance(template, str):
            yield template.encode()


def tokenizer_jsons():
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "b", "\u2581", "ab", "\u2581a", "abb"]
    splitter = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": False}
    merges = [["a", "b"], ["\u2581", "a"], ["ab", "b"]]
    added = [{"id": 1, "content": "<s>", "special": True}, {"id": len(pieces), "content": "<think>", "special": False}]
    model = {"type": "BPE", "byte_fallback": True, "unk_token": None, "vocab": {piece: i for i, piece in enumerate(pieces)}}
    yield {"pre_tokenizer": splitter, "added_tokens": added, "model": {**model, "merges": merges}}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    yield {"normalizer": replace, "model": {**model, "merges": [" ".join(pair) for pair in merges]}}
    yield {"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}


def processors():
    for name in sorted(MODELS.glob("*/preprocessor_config.json")):
        yield b"{}\0" + name.read_bytes()
    size = {"size": {"shortest_edge": 3136, "longest_edge": 4816896}}
    yield json.dumps({"image_processor": size, "video_processor": size, "image_max_pixels": 784}).encode() + b"\0" + b'{"size": 224}'


def as_json(values):
    return [json.dumps(value).encode() for value in values]


SEEDS = {
    "request_head": heads, "grammar": grammars, "chunked_body": chunks, "http_url": urls, "safetensors": tensors, "jinja": templates,
    "anthropic_json": lambda: as_json(anthropic_messages()), "response_json": lambda: as_json(responses()), "answer": answers,
    "chat_json": lambda: as_json(chats()), "completion_json": lambda: as_json(completions()),
    "tokenize_json": lambda: as_json([*chats(), {"prompt": "a", "return_token_strs": True}, {"tokens": [0, 1, 999]}]),
    "data_url": lambda: [b"\xff" + url for url in (PICTURE.encode(), b"data:;base64,QQ==", b"data:a/b;base64,Q U\nI", b"QUJD")],
    "jpeg": lambda: pictures("*.jpg"), "png": lambda: pictures("*.png"), "webp": lambda: pictures("*.webp"),
    "gif": lambda: pictures("*.gif"),
    "exif": lambda: [prefix + exif(order, [(271, 2, 3, 5), (274, 3, 1, 6)]) for prefix in (b"", b"Exif\0\0") for order in ("little", "big")],
    "checkpoint_index": lambda: as_json([{"metadata": {"total_size": 0}, "weight_map": {"x": name}}
                                         for name in ("a.safetensors", "../a.safetensors", "/dev/zero")]),
    "tokenizer_model": lambda: texts("model/tiny-a/tokenizer.model"), "tokenizer_json": tokenizer_files,
    "tokenizer_bpe_json": lambda: as_json(tokenizer_jsons()), "picture_limits": processors,
    "config": lambda: texts("model/*/config.json"), "generation_config": lambda: texts("model/tiny-a/generation_config.json"),
    "quantization_config": lambda: as_json(quantizations()), "pack_index": lambda: as_json(pack_index()),
}


def main():
    out = pathlib.Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(sorted(seed for seed in seeds() if len(seed) <= MOST)):
            (folder / f"{number:03}").write_bytes(seed)


if __name__ == "__main__":
    main()
