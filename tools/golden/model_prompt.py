"""Conversations to prompt text and token ids, as the ERNIE 4.5 releases were trained to see them.

Hand-written from the published chat templates. transformers' converted VL template is not followed
where it is defective: it writes the closing marker with a blank inside and lets the indentation of
its own source into the prompt.
"""

import re

BEGIN, END = "<|begin_of_sentence|>", "<|end_of_sentence|>"
PLACEHOLDER = "<|IMAGE_PLACEHOLDER|>"

# The same as a Jinja template, for checkpoints that bring their own. Media are counted over the
# whole conversation; without `enable_thinking` the model thinks.
VL_JINJA = (
    "{%- set ns = namespace(images=0, videos=0) -%}"
    "{{- '<|begin_of_sentence|>' -}}"
    "{%- for message in messages -%}"
    "{%- if message.role == 'system' -%}"
    "{{- message.content + '\\n' -}}"
    "{%- elif message.role == 'user' -%}"
    "{{- 'User: ' -}}"
    "{%- if message.content is string -%}{{- message.content -}}{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'text' -%}{{- part.text -}}"
    "{%- elif part.type in ['image', 'image_url'] -%}"
    "{%- set ns.images = ns.images + 1 -%}"
    "{{- 'Picture ' ~ ns.images ~ ':<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>' -}}"
    "{%- elif part.type in ['video', 'video_url'] -%}"
    "{%- set ns.videos = ns.videos + 1 -%}"
    "{{- 'Video ' ~ ns.videos ~ ':<|VIDEO_START|><|IMAGE_PLACEHOLDER|><|VIDEO_END|>' -}}"
    "{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{%- elif message.role == 'assistant' -%}"
    "{{- '\\nAssistant: ' -}}"
    "{%- if message.reasoning_content -%}"
    "{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n' -}}"
    "{%- endif -%}"
    "{{- message.content + '<|end_of_sentence|>' -}}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '\\nAssistant: ' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}"
    "{%- else -%}{{- '<think>' -}}{%- endif -%}{%- endif -%}"
)


def vl_prompt(messages, enable_thinking):
    """`enable_thinking` may be None: the model's default, which is to think."""
    count = {"image": 0, "video": 0}

    def part_text(part):
        if part["type"] == "text":
            return part["text"]
        kind = part["type"]
        count[kind] += 1
        word = {"image": "Picture", "video": "Video"}[kind]
        tag = kind.upper()
        return f"{word} {count[kind]}:<|{tag}_START|>{PLACEHOLDER}<|{tag}_END|>"

    text = BEGIN
    for message in messages:
        content = message["content"]
        if message["role"] == "system":
            text += content + "\n"
        elif message["role"] == "user":
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            text += "User: " + "".join(part_text(p) for p in parts)
        else:
            reasoning = message.get("reasoning_content")
            thought = f"<think>\n{reasoning}\n</think>\n" if reasoning else ""
            text += "\nAssistant: " + thought + content + END
    return (
        text
        + "\nAssistant: "
        + ("<think>\n\n</think>\n\n" if enable_thinking is False else "<think>")
    )


def text_prompt(messages):
    """The text-only models: no thinking, every turn on its own line."""
    text = BEGIN
    for message in messages:
        if message["role"] == "system":
            text += message["content"] + "\n"
        elif message["role"] == "user":
            text += "User: " + message["content"] + "\n"
        else:
            text += "Assistant: " + message["content"] + END
    return text + "Assistant: "


def encode(sentencepiece, special_ids, text):
    """Token ids: specials are cut out first (longest first), the rest is SentencePiece's."""
    names = sorted(special_ids, key=len, reverse=True)
    ids = []
    for part in re.split("(" + "|".join(map(re.escape, names)) + ")", text):
        ids += [special_ids[part]] if part in special_ids else sentencepiece.encode(part)
    return ids


def expand(ids, placeholder_id, counts):
    """Repeats the i-th placeholder counts[i] times."""
    counts = iter(counts)
    out = []
    for i in ids:
        out += [i] * (next(counts) if i == placeholder_id else 1)
    return out
