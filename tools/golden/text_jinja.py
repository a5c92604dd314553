#!/usr/bin/env python3
"""Makes tests/golden/text/jinja.json: templates, their variables, and what Jinja2 makes of them in
the environment in which transformers runs chat templates.

    pip install jinja2
    python3 tools/golden/text_jinja.py
"""
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/text/jinja.json"

SNIPPETS = [
    "plain text",
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "  {% if true %}  x  {% endif %}  y",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "{%+ if true %}x{%+ endif %}\n  {%+ if true +%}\n z{% endif %}",
    "a {# comment #} b\n  {# whole line #}\nc {#- tight -#} d",
    "{{ 'a' }}\n{{ 'b' -}}\n  c",
    "{% raw %}{{ not code }}{% if %}{% endraw %} after",
    "{%- raw -%}\n {{ x }} \n{%- endraw -%}\n tail",
    "{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ (1, 2)[1] }}",
    "{{ 1.0 }} {{ 1e20 }} {{ 0.1 + 0.2 }} {{ 1e-7 }} {{ 100 * 1.5 }} {{ 3.0 // 2 }} {{ 10000000000000000.0 }}",
    "{{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ 'a' + 'b' }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' in 'cat' }} {{ 3 not in [1, 2] }} {{ 'k' in {'k': 1} }} {{ not 1 == 2 }}",
    "{{ 'yes' if 1 else 'no' }} {{ 'x' if false }}| {{ 'a' if false else 'b' if false else 'c' }}",
    "{{ none or 'd' }} {{ 0 and 1 }} {{ '' or [] or 'z' }} {{ 1 and 2 or 3 }}",
    "{{ missing }}|{{ missing is defined }}|{{ missing | default('d') }}|{{ none | default('d') }}|{{ '' | default('d', true) }}",
    "{{ items[0] }} {{ items[-1] }} {{ items[1:] }} {{ items[::-1] }} {{ items[:-1] }} {{ 'hello'[1:3] }} {{ 'hello'[::-2] }} {{ items[5:] }}",
    "{{ user.name }} {{ user['name'] }} {{ user.get('age') }} {{ user.get('nope', 'dflt') }} {{ user.nope is defined }} {{ user.keys() | list }}",
    "{% for i in items %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for i in items %}{{ loop.index0 }}{{ loop.first }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }};{% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}empty{% endfor %}",
    "{% for i in range(10) if i is odd %}{{ i }}({{ loop.length }}) {% endfor %}",
    "{% for k, v in user.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in user | dictsort %}{{ k }} {% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 10 %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, found=false) %}{% for i in items %}{% set ns.n = ns.n + i %}{% set ns.found = true %}{% endfor %}{{ ns.n }} {{ ns.found }}",
    "{% set a, b = 1, 'two' %}{{ a }}{{ b }}{% set t %}\n  block {{ a }}\n{% endset %}[{{ t }}]{% set u | upper | trim %} up {% endset %}[{{ u }}]",
    "{% if x is not defined %}{% set x = 'new' %}{% endif %}{{ x }}",
    "{% macro greet(name, greeting='Hello') %}{{ greeting }}, {{ name }}!{% endmacro %}{{ greet('A') }} {{ greet('B', 'Hi') }} {{ greet(greeting='Yo', name='C') }} {{ greet() }}",
    "{% macro walk(n) %}{{ n }}{% if n > 0 %}{{ walk(n - 1) }}{% endif %}{% endmacro %}{{ walk(4) }}{% set g = 'top' %}{% macro see() %}{{ g }}{% endmacro %}{{ see() }}",
    "{{ ' x '.strip() }}|{{ 'xxaxx'.lstrip('x') }}|{{ 'xxaxx'.rstrip('x') }}|{{ 'a,b,,c'.split(',') }}|{{ ' a  b '.split() }}|{{ 'a b c'.split(' ', 1) }}|{{ 'a-b-c'.rsplit('-', 1) }}|{{ 'a b  c d'.split(none, 2) }}|{{ 'a b  c d'.rsplit(none, 2) }}",
    "{{ 'Hello'.upper() }} {{ 'Hello'.lower() }} {{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }} {{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abcabc'.count('bc') }} {{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ '12'.isdigit() }} {{ ', '.join(['a', 'b']) }} {{ 'a\nb\n'.splitlines() }}",
    "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }} {{ 'abc'.removesuffix('x') }} {{ 'ab' | replace('', '-') }} {{ 'abab' | replace('b', '') }}",
    "{{ '  t ' | trim }}|{{ 'xtx' | trim('x') }}|{{ 'ab' | length }}|{{ [1, 2] | join('-') }}|{{ [1, 2] | join }}|{{ 'ab' | list }}|{{ 5 | string + '!' }}|{{ [3, 1, 2] | sort }}|{{ ['b', 'A'] | sort }}|{{ [1, 2] | reverse | list }}|{{ [1, 2, 1] | unique | list }}",
    "{{ items | first }} {{ items | last }} {{ [] | first }}| {{ items | max }} {{ items | min }} {{ '42' | int + 1 }} {{ 'x' | int }} {{ '1.5' | float }} {{ -3 | abs }} {{ '<a>' | e }}",
    "{{ people | map(attribute='name') | join(', ') }} {{ people | map(attribute='no', default='-') | list }} {{ ['a', 'b'] | map('upper') | list }} {{ people | map(attribute='job.title') | list }}",
    "{{ people | selectattr('age') | map(attribute='name') | list }} {{ people | selectattr('age', 'equalto', 3) | list | length }} {{ people | rejectattr('name', 'eq', 'Ann') | map(attribute='name') | list }} {{ [1, 0, 2] | select | list }} {{ range(5) | reject('odd') | list }} {{ people | selectattr('role', 'defined') | list | length }} {{ people | selectattr('name', 'in', ['Bob']) | list | length }}",
    "{{ people | tojson }}\n{{ people | tojson(indent=2) }}\n{{ {'b': [], 'a': {}} | tojson(sort_keys=true) }} {{ 'é\"\\\\\\n\\u0001<&>' | tojson }} {{ [1, 2.5, none, true] | tojson(indent=4) }}",
    "{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(1, blank=true) }}|{{ 'x\n' | indent('> ') }}",
    "{{ 1 is number }} {{ 'a' is string }} {{ [] is iterable }} {{ {} is mapping }} {{ 'a' is iterable }} {{ none is none }} {{ 1 is integer }} {{ 1.5 is float }} {{ true is boolean }} {{ true is true }} {{ 1 is true }} {{ [] is sequence }} {{ {} is sequence }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 'a' is not none }} {{ 1 is sameas true }} {{ 'ab' is lower }} {{ 3 is ge 3 }} {{ 1 is in [1] }}",
    "{{ [1, 'a', none, true, 1.5, {'k': 'v'}, [], \"it's\"] }} {{ {'a': 1, 'b': 'x\ny'} }} {{ 'it\\'s \"q\"' ~ '' }} {{ [\"it's \\\"q\\\"\"] }}",
    "{{ dict(a=1, b='c') }} {{ range(2, 8, 3) | list }} {{ range(3, 0, -1) | list }} {{ 'con' 'cat' }} {{ {'a': {'b': 2}}.a.b }}{{ {'x': 1}['x'] }}",
    "{% generation %}text{% endgeneration %}{{ '{{' }}{{ '%}' }} {{ 'emoji 🐕 ü'[6] }} {{ '图片' | length }}",
    "{{ - 2 + 5 }} {{ -2 | abs }} {{ not false and true }} {{ 1 if not missing else 2 }} {{ 'a' != 'b' and 'c' in 'abc' }} {{ (1 + 2) * 3 }} {{ 2 * 3 ~ 'x' }} {{ (1 + 1) ~ 2 }}",
    "{{ 1 + 1 ~ 2 }}",
    "{{ messages[0].content[1:] + messages[-1]['content'] }} {{ (messages | length) - 1 }} {{ messages | map(attribute='role') | unique | join('/') }}",
    "{{ raise_exception('no') }}",
    "{{ missing.attribute }}",
    "{{ 'a' + 1 }}",
    "{{ 1 < 'a' }}",
    "{{ x(1) }}",
    "{{ 1 // 0 }}",
    "{{ 'a' | nofilter }}",
    "{% if %}x{% endif %}",
    "{% for i in 3 %}x{% endfor %}",
    "{{ 'open }}",
    "{% if true %}never closed",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{{ [].append(1) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
]

VARIABLES = {
    "items": [3, 1, 4],
    "user": {"name": "Ada", "age": 36},
    "people": [
        {"name": "Ann", "age": 3, "job": {"title": "cook"}, "role": None},
        {"name": "Bob", "age": 0, "job": {"title": "driver"}},
        {"name": "Çelik 图", "age": 71, "job": {}},
    ],
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
    ],
}

# Three templates in the manner of well-known families, written for this test.
ERNIE_LIKE = """{%- if cls_token is not defined -%}{%- set cls_token = "<|begin_of_sentence|>" -%}{%- endif -%}
{%- if sep_token is not defined -%}{%- set sep_token = "<|end_of_sentence|>" -%}{%- endif -%}
{%- macro text_of(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- elif content is iterable -%}
        {%- for part in content -%}
            {%- if part.type == "text" -%}{{- part.text -}}{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set count = namespace(image=0, video=0) -%}
{{- cls_token -}}
{%- for message in messages -%}
    {%- if message["role"] == "user" -%}
        {{- "User: " -}}
        {%- if message["content"] is string -%}
            {{- message["content"] -}}
        {%- else -%}
            {%- for part in message["content"] -%}
                {%- if part["type"] == "image_url" -%}
                    {%- set count.image = count.image + 1 -%}
                    {{- "Picture " ~ count.image ~ ":<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>" -}}
                {%- elif part["type"] == "video_url" -%}
                    {%- set count.video = count.video + 1 -%}
                    {{- "Video " ~ count.video ~ ":<|VIDEO_START|><|video@placeholder|><|VIDEO_END|>" -}}
                {%- elif part["type"] == "text" -%}
                    {{- part["text"] -}}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- elif message["role"] == "assistant" -%}
        {%- set content = text_of(message["content"]) -%}
        {%- set reasoning = message.reasoning_content if message.reasoning_content is string else "" -%}
        {%- if "</think>" in content -%}
            {%- set reasoning = content.split("</think>")[0].rstrip("\\n").split("<think>")[-1].lstrip("\\n") -%}
            {%- set content = content.split("</think>")[-1].lstrip("\\n") -%}
        {%- endif -%}
        {{- "\\nAssistant: " -}}
        {%- if reasoning -%}{{- "<think>\\n" ~ reasoning.strip("\\n") ~ "\\n</think>\\n" -}}{%- endif -%}
        {{- content ~ sep_token -}}
    {%- elif message["role"] == "system" -%}
        {{- text_of(message["content"]) ~ "\\n" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt is not defined or add_generation_prompt is true -%}
    {{- "\\nAssistant: " -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}
        {{- "<think>\\n\\n</think>\\n\\n" -}}
    {%- else -%}
        {{- "<think>" -}}
    {%- endif -%}
{%- endif -%}
"""
TOOLS_LIKE = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step=true, last_query=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if loop.index0 > ns.last_query and message.reasoning_content %}
            {{- '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- message.content }}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function if call.function else call %}
            {{- '\\n<tool_call>\\n{"name": "' ~ function.name ~ '", "arguments": ' }}
            {%- if function.arguments is string %}
                {{- function.arguments }}
            {%- else %}
                {{- function.arguments | tojson }}
            {%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
STRICT_LIKE = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{% set first = messages[0]['content'] | trim %}
{% set rest = messages[1:] %}
{% else %}
{% set first = '' %}
{% set rest = messages %}
{% endif %}
{% for message in rest %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if message['role'] == 'user' %}
{{ '[INST] ' + (first + '\\n\\n' if loop.first and first else '') + message['content'] | trim + ' [/INST]' }}
{% else %}
    {% generation %}
{{ ' ' + message['content'] | trim + ' ' + eos_token }}
    {% endgeneration %}
{% endif %}
{% endfor %}
"""

TOOL = {"type": "function", "function": {"name": "weather", "description": "The \"weather\" in a <city>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}}, "required": ["city"]}}}
CONVERSATION = VARIABLES["messages"]
WITH_TOOLS = [
    {"role": "system", "content": "help"},
    {"role": "user", "content": "weather in Köln?"},
    {"role": "assistant", "content": "", "reasoning_content": "\nask the tool\n", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2}}}]},
    {"role": "tool", "content": "rain"},
    {"role": "tool", "content": "sun"},
    {"role": "assistant", "content": "Rain, then sun."},
    {"role": "user", "content": "thanks"},
]
WITH_MEDIA = [
    {"role": "system", "content": "look closely"},
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": ""},
        {"type": "image_url", "image_url": ""}, {"type": "video_url", "video_url": ""}]},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\na dog"},
    {"role": "user", "content": "sure?"},
    {"role": "assistant", "content": "yes", "reasoning_content": "because"},
    {"role": "user", "content": [{"type": "image_url", "image_url": ""}, {"type": "text", "text": " and this"}]},
]
TEMPLATES = {"ernie_like": ERNIE_LIKE, "tools_like": TOOLS_LIKE, "strict_like": STRICT_LIKE}
CHATS = [
    ("ernie_like", {"messages": WITH_MEDIA, "add_generation_prompt": True}),
    ("ernie_like", {"messages": CONVERSATION, "add_generation_prompt": True, "enable_thinking": False}),
    ("ernie_like", {"messages": CONVERSATION[:3], "add_generation_prompt": False}),
    ("tools_like", {"messages": WITH_TOOLS, "tools": [TOOL, TOOL], "add_generation_prompt": True}),
    ("tools_like", {"messages": WITH_TOOLS[:3], "tools": None, "add_generation_prompt": False}),
    ("strict_like", {"messages": CONVERSATION, "bos_token": "<s>", "eos_token": "</s>"}),
    ("strict_like", {"messages": CONVERSATION[1:], "bos_token": "<s>", "eos_token": "</s>"}),
    ("strict_like", {"messages": CONVERSATION[2:], "bos_token": "<s>", "eos_token": "</s>"}),
]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def case(name, template, variables):
    try:
        return {"name": name, "template": template, "variables": variables,
                "expected": environment().from_string(template).render(**variables)}
    except Exception as error:  # whatever Python raises, the template is at fault
        return {"name": name, "template": template, "variables": variables, "error": str(error)}


def main():
    cases = [case(f"snippet {i}", t, VARIABLES) for i, t in enumerate(SNIPPETS)]
    cases += [case(f"{name} {i}", TEMPLATES[name], v) for i, (name, v) in enumerate(CHATS)]
    OUT.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
