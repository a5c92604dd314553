"""The same questions in everyday words: many more phrasings, and what people leave out or add.

Only training asks like this. The exam keeps the plain phrasings, and its held-out phrasings
(tools/exam/phrasings.py) are none of these.
"""

import dataclasses
import re

import clip_questions
import json_questions
import pair_questions
import scene_questions as scene
import text_only
import text_questions as text
from qa import QA, Phrased, expand

PICTURE = {"en": "(picture|image|photo|pic)", "zh": "(图|图片|图像|照片|画)"}  # what @ stands for
MORE = [  # (table, more phrasings of it); "(a|b|)" is a choice
    (scene.DESCRIBE, {
        "en": ["(Can|Could|Would) you (please |)describe (this|the) @( for me|)?",
               "Describe (this|the) @( for me|)( please|).", "(Please |)(describe|explain) (this|the|my) @.",
               "What('s| is) (in|on|shown in) (this|the|my) @?", "What (is|'s) this?",
               "What (are|do) we (looking at|see) here?", "What am I looking at?", "What's (here|there|that)?",
               "Tell me (about|something about) (this|the) @.", "Tell me what (is|you see) (in|on) (this|the) @.",
               "(Give|Write) (me |)a (short |brief |)(description|caption|summary)( of this| of the|) @.",
               "(Write a caption|Caption this|Caption)",
               "Describe (it|this|what you see|everything|everything you see|the scene|the content).",
               "What (objects|shapes|things|figures) (are|do you see) (here|there|in this @|in it)?",
               "What does (this|the) @ (show|contain|depict|have)?",
               "(Look at|See) (this|the) @. What (do you see|is there|is in it)?",
               "List (everything|all shapes|the shapes|what you see|all objects)( in the @|).",
               "What can you (see|tell me)( here| about this @|)?", "(Show|Say) what is in the @.",
               "What's going on (here|in this @)?", "I want to know what is in (this|the) @.",
               "Is there anything in (this|the) @? What?", "describe", "Describe", "Explain what you see."],
        "zh": ["(请|麻烦|帮我|请你|)(描述|说明|介绍|形容)(一下|下|)(这张|这幅|这个|这|图中的|)@(的内容|里的内容|吧|)。",
               "(请|)(说说|讲讲|看看|说一下|讲一下)(这张|这幅|这|)@(里|中|上|)(有什么|是什么|有些什么|画了什么|的内容)。",
               "(这张|这幅|这个|)@(里|中|上|里面|上面)(有|是|画的是|画了|都有|显示|展示)(什么|些什么|哪些东西|什么东西)？", "(这|这个|这里)是(什么|啥)？",
               "(你|您|)(能|可以)(看到|看见|看出)(什么|些什么|哪些东西|哪些图形)？", "(你|)(看到|看见)(了|)(什么|些什么|哪些图形|哪些形状)？",
               "(告诉|跟)我(说说|)(图|图片|图像)(里|中)(有|是)什么。", "(请|)(给|为)(这张|这|)@(写|起)(一个|一段|个|)(描述|标题|说明)。",
               "(这里|图里|图中|里面)(有|都有)(什么|啥|哪些形状|哪些图形|什么形状)？", "(请|)列出(图|图片|图像)(中|里)(的|所有|所有的)(图形|形状|东西|物体)。",
               "(请|)(用一句话|简单|详细|简要|)(描述|说说|介绍)(这张|这幅|)(图|图片)。", "(图片|图像|图)内容(是什么|)？", "(这张|)@讲了什么？",
               "(帮我|)看(看|一下)(这张|)@。", "描述", "描述一下", "(有|都有)什么？", "(请|)看图说话。"],
    }),
    (scene.COLOUR, {
        "en": ["(The|What about the) {shape}: (what|which) (colour|color)?",
               "What('s| is) the (colour|color) of (the|that|this) {shape}?", "(Colour|Color) of the {shape}?",
               "(Can|Could) you tell me (the (colour|color) of the {shape}|what (colour|color) the {shape} is)?",
               "(In|Of) (what|which) (colour|color) is the {shape}?",
               "(What|Which) (colour|color) (is|has) (that|this|the) {shape}( in the @| here|)?",
               "The {shape} is (what|which) (colour|color)?",
               "(Name|Say|Give|Identify) the (colour|color) of the {shape}.",
               "I (want|would like) to know the (colour|color) of the {shape}.",
               "How is the {shape} (coloured|colored|painted)?",
               "What (colour|color) (was|did they use for|do you see on) the {shape}?"],
        "zh": ["(这个|那个|图里的|图片里的|图片中的|)(这个|){shape}(是|)(什么|啥|哪种|什么样的)(颜色|色)(的|呢|)？", "(告诉我|说说|说出|看看){shape}(是什么|的)颜色。",
               "{shape}颜色？", "(请问|)(图中|图里|)(那个|){shape}(的颜色|颜色)(是|)(什么|哪种)？", "{shape}(用的是|涂的是|是)(什么|哪种|哪个)颜色？",
               "(请|)(说出|指出|回答){shape}的颜色。", "{shape}呈(什么|现什么)颜色？", "(什么|哪种)颜色的{shape}？"],
    }),
    (scene.SHAPE, {
        "en": ["What('s| is) the {colour} (thing|one|object|figure|shape)( here| in the @|)?",
               "(Which|What) (shape|figure|form) (is|has) (the |){colour}( one| object| thing|)?",
               "The {colour} (one|thing|shape|object) is what( shape|)?",
               "(Name|Identify|Tell me) the {colour} (shape|object|thing).",
               "What (kind of |)shape (is|has) the {colour} (one|thing|object|figure)?",
               "(Can|Could) you tell me (what|which) shape is {colour}?", "What is {colour}( here| in the @|)?"],
        "zh": ["(那个|这个|){colour}的(图形|东西|物体|那个|)是(什么|啥|什么形状|哪种形状|什么图形)？", "(什么|哪个|哪种)(图形|形状|东西)是{colour}(的|)？",
               "{colour}(图形|形状|物体)是(什么|哪种)(形状|)？", "(图中|图里|)(有|)什么(东西|图形)是{colour}的？",
               "(说出|告诉我|指出){colour}(的|)(图形|东西)(是什么|是什么形状|的形状)。"],
    }),
    (scene.AT, {
        "en": ["What('s| is) {place}( of the @| of this @|)?",
               "What (shape|object|thing|figure) (is|do you see|can you see|is there) {place}?",
               "(Tell me|Say|Name) what is {place}.", "What (do we have|can be seen|is shown|is located) {place}?",
               "(Look|See) {place}: what is (there|it)?", "Is there (anything|something) {place}? What?",
               "What about {place}?"],
        "zh": ["(图|图片|图像|画面|)(的|){place}(是|有)(什么|啥|什么东西|什么图形|什么形状|哪个图形)？", "(在|){place}(的|)(是|有)(什么|哪个图形|什么图形)？",
               "(看看|告诉我|说说){place}(是|有)什么。", "{place}的(图形|东西|那个)是(什么|啥)？", "{place}呢？", "{place}(画了|画的是|放着|放了)什么？"],
    }),
    (scene.WHERE, {
        "en": ["Where('s| is) {thing}( in (this|the) @| located| placed| positioned| here|)?",
               "(Can|Could) you (tell me|find|say) where {thing} is?", "(Tell|Show) me where {thing} is.",
               "(In |)(what|which) (place|part|corner|position|area)( of the @|) (is|contains|has) {thing}( in|)?",
               "What('s| is) the (position|place|location) of {thing}?", "(Find|Locate|Look for) {thing}( for me|).",
               "(Position|Location|Place) of {thing}?", "(Do you know|Can you see) where {thing} is?",
               "Where (can|do) (I|we|you) (find|see) {thing}?", "On (what|which) side is {thing}?",
               "Where (did they put|has someone put|does) {thing}( stand| sit| lie|)?"],
        "zh": ["{thing}(在|位于|处在|处于)(哪|哪里|哪儿|什么位置|哪个位置|什么地方|哪个方位|图的哪里|图中的哪里|图片的哪个位置)(呢|啊|)？",
               "(请问|告诉我|说说|){thing}的(位置|方位)(是|在|)(哪里|什么|)？", "(帮我|请|)(找|找一下|找找|找到){thing}(在哪里|在哪|)。",
               "(你|)(知道|能看到|能找到){thing}在(哪|哪里|哪儿)吗？", "(图中|图里|图片里)(的|){thing}在(哪|哪里|哪儿|什么位置)？",
               "{thing}放在(哪里|哪儿|什么地方)？", "(哪里|哪儿|什么地方)(有|是){thing}？"],
    }),
    (scene.COUNT_ALL, {
        "en": ["How many (shapes|objects|things|figures|items) (are|can you see|do you see|do we have|can you count|"
               "does it have)( here| in it| in this @| in total| altogether|)?",
               "(Count|Please count|Can you count) (the|all|all the) (shapes|objects|things|figures|items)( here|"
               " in the @| for me|).",
               "(What is|What's|Tell me|Give me|Say) the (number|count|total) of (shapes|objects|things|figures)"
               "( in the @|).", "(Number|Count|Total) of (shapes|objects|things)?",
               "How many (are|of them are) there( in total| altogether|)?",
               "How many (different |)(shapes|objects|things) does (this|the) @ (have|show|contain)?"],
        "zh": ["(图|图片|图像|画)(里|中|上)(一共|总共|共|)(有|画了)(几个|多少个|多少|几种)(图形|形状|东西|物体)(呢|)？",
               "(请|帮我|)(数数|数一数|数一下|数|统计|算算)(图中|图里|一共|)(有|)(几个|多少个|多少|)(图形|形状|东西|物体)。",
               "(一共|总共)(有|)(几个|多少个)(图形|形状|东西|)？", "(图形|形状|物体|东西)(的数量|数量|个数|总数)(是多少|有多少|)？",
               "(有|)(多少|几)个(图形|形状|东西|物体)(在图里|)？", "(这里|这张图|图里)有几个？"],
    }),
    (scene.COUNT_SHAPE, {
        "en": ["How many {shape}s (can you (see|count|find)|can be seen|does it have|do we have|are here|are shown)"
               "( in the @| in this @|)?",
               "(Count|Please count|Can you count) (the|all|all the) {shape}s( here| in the @| for me|).",
               "(What is|What's|Tell me|Give me) the number of {shape}s.", "(Number|Count) of {shape}s?",
               "(How many|And how many) {shape}s?", "How many {shape}s does (this|the) @ (have|show|contain)?",
               "(Tell me|Say) how many {shape}s there are."],
        "zh": ["(图|图片|图像|画)(里|中|上)(一共|总共|共|)有(几个|多少个|多少|几颗){shape}(呢|)？",
               "(请|帮我|)(数数|数一数|数一下|数|统计)(图中|图里|一共|)(有|)(几个|多少个|多少|){shape}(有几个|)。",
               "{shape}(有|一共有|总共有)(几个|多少个|多少|几颗)？", "{shape}(的数量|数量|个数|的个数)(是多少|)？", "(多少|几)个{shape}？"],
    }),
    (scene.COUNT_COLOUR, {
        "en": ["How many {colour} (shapes|objects|things|ones|figures) (can you (see|count|find)|do you see|"
               "are in the @|do we have|are here)?",
               "(Count|Please count|Can you count) (the|all|all the) {colour} (shapes|ones|objects|things).",
               "How many (are|things are|of them are|objects are) {colour}?",
               "(What is|What's|Tell me) the number of {colour} (shapes|objects|things).",
               "(Number|Count) of {colour} (shapes|things)?"],
        "zh": ["(图|图片|图像)(里|中|上)(一共|总共|)有(几个|多少个){colour}(的|)(图形|形状|东西|物体)？",
               "(请|帮我|)(数数|数一数|数一下|数)(有几个|有多少个|){colour}(的|)(图形|形状|东西)。", "{colour}(的|)(图形|形状|东西|物体|)?有(几个|多少个|多少)？",
               "(几个|多少个)(图形|形状|东西)是{colour}(的|)？", "{colour}(图形|形状)的(个数|数量)(是多少|)？"],
    }),
    (scene.EXISTS, {
        "en": ["(Can|Could|Do) you (see|find|spot) {thing}( in the @| in this @| here| anywhere|)?",
               "Does (it|this @|the @) (have|contain|include|show) {thing}?",
               "Is {thing} (in the @|in it|here|there|shown|visible)?",
               "Is there {thing} (here|in it|anywhere|somewhere|in this @)?",
               "(Tell me if|Check if|Check whether|I wonder if) there is {thing}.",
               "{thing}: (is it there|yes or no)?", "Are there any {thing}?", "(Has|Have) (it|we) (got |){thing}?"],
        "zh": ["(图|图片|图像|画)(里|中|上|里面)(有|有没有|是否有|存在)(一个|){thing}(吗|)？",
               "(有没有|是否有|存在|能找到|能看到|看得到|看得见)(一个|){thing}(吗|)？", "(你|)(能|可以|)(看到|看见|找到)(一个|){thing}(吗|了吗|没有)？",
               "(这里|图里|里面)有(一个|){thing}(吗|么|没有)？", "是不是有(一个|){thing}？", "{thing}(存在吗|有吗|有没有)？"],
    }),
    (scene.SIDE["left"], {
        "en": ["Is {a} (on|to) the left( side|) of {b}?", "(Tell me if|Check whether) {a} is (to the |)left of {b}.",
               "Does {a} (stand|lie|come) (to the |)left of {b}?", "Is {a} (further|more to the) left than {b}?"],
        "zh": ["{a}(是不是|是否|)在{b}(的|)(左边|左侧|左面|左方)(吗|么|)？", "{b}(的|)(左边|左侧)是{a}吗？"],
    }),
    (scene.SIDE["right"], {
        "en": ["Is {a} (on|to) the right( side|) of {b}?",
               "(Tell me if|Check whether) {a} is (to the |)right of {b}.",
               "Does {a} (stand|lie|come) (to the |)right of {b}?", "Is {a} (further|more to the) right than {b}?"],
        "zh": ["{a}(是不是|是否|)在{b}(的|)(右边|右侧|右面|右方)(吗|么|)？", "{b}(的|)(右边|右侧)是{a}吗？"],
    }),
    (scene.SIDE["above"], {
        "en": ["Is {a} (over|on top of|further up than|above) {b}?",
               "(Tell me if|Check whether) {a} is (above|over|higher than) {b}.", "Does {a} (stand|lie) above {b}?"],
        "zh": ["{a}(是不是|是否|)在{b}(的|)(上面|上方|上边)(吗|么|)？", "{b}(的|)(上面|上方)是{a}吗？"],
    }),
    (scene.SIDE["below"], {
        "en": ["Is {a} (under|underneath|beneath|further down than|below) {b}?",
               "(Tell me if|Check whether) {a} is (below|under|lower than) {b}.", "Does {a} (stand|lie) below {b}?"],
        "zh": ["{a}(是不是|是否|)在{b}(的|)(下面|下方|下边)(吗|么|)？", "{b}(的|)(下面|下方)是{a}吗？"],
    }),
    (scene.BIGGER, {
        "en": ["(Which|Which one|What) (is|looks) (bigger|larger|greater)(:|,|) {a} or {b}?",
               "(Who|What) is the (bigger|larger)( one|), {a} or {b}?",
               "{a} or {b}: which( one|) is (bigger|larger)?", "(Compare|Of) {a} and {b}: which is (bigger|larger)?"],
        "zh": ["{a}(和|跟|与|还是){b}(，|)(哪个|哪一个|谁)(更大|大|比较大|大一些|大一点)(呢|)？", "(哪个|哪一个|谁)(更大|大|比较大)(，|：){a}还是{b}？",
               "比较{a}和{b}，(哪个|谁)(更大|大)？"],
    }),
    (scene.SMALLER, {
        "en": ["(Which|Which one|What) (is|looks) (smaller|tinier)(:|,|) {a} or {b}?",
               "(Who|What) is the smaller( one|), {a} or {b}?", "{a} or {b}: which( one|) is smaller?",
               "(Compare|Of) {a} and {b}: which is smaller?"],
        "zh": ["{a}(和|跟|与|还是){b}(，|)(哪个|哪一个|谁)(更小|小|比较小|小一些|小一点)(呢|)？", "(哪个|哪一个|谁)(更小|小|比较小)(，|：){a}还是{b}？",
               "比较{a}和{b}，(哪个|谁)(更小|小)？"],
    }),
    (text.READ, {
        "en": ["(Can|Could) you (please |)read (this|the text|it|what it says)( for me|)?",
               "(Read|Transcribe|Copy|Type|Extract|Recognise|Recognize) (the|this|all the|all) (text|characters|"
               "writing|letters|code|word)( here| in the @| from the @| for me|).",
               "What('s| is) (written|printed|the text|the code|it saying)( here| there| in this @| on it|)?",
               "What (text|characters|letters|code|word|letters and digits) (is|are|do you see|can you read|"
               "is shown)( here| there| in the @|)?", "(Read it|Read this|Read|OCR|OCR this|Do OCR)( please|).",
               "What does (this|the) (@|text|sign|writing|code) say?",
               "(Tell me|Say) what (is written|it says|the text is|the text says|you read)( here|).",
               "What (can|do) you read( here| there|)?"],
        "zh": ["(请|帮我|麻烦|)(读|读一下|读读|念|念一下|识别|识别一下|提取|抄写|看看|认一下)(图|图片|图像|图上|这些|上面|)(中的|里的|上的|的|)(文字|字|字符|内容|字母)。",
               "(图|图片|图像|照片|这)(里|中|上|上面|里面)(写|印|显示|写着|写的|印着)(了|的是|的|)(什么|些什么|什么字|哪些字|哪些字符|什么内容)？",
               "(上面|这里|这)(写|印)(了|的是|着|的)(什么|啥|什么字|哪些字符)？", "(文字|字符|内容|图中文字)(是|内容是)(什么|哪些)？",
               "(这|这些|图中|图里|这里)(是|有)(什么|哪些)(字|文字|字符|字母)？", "(你|)(能|可以)(读出|认出|看清|看到)(什么|哪些)(字|文字|字符)？",
               "(请|)(把|将)(图中|图里|上面)的(文字|字|字符)(读|写|念)出来。", "(做一下|OCR|)文字识别"],
    }),
    (text.READ_LINES, {
        "en": ["(Read|Transcribe|Copy) (each|every|all) (line|lines|of the lines|line of the text)( please| for me|)"
               ".", "(Read|Give me|What is) the text line by line.", "What do (all |)(the|these) lines say?",
               "(Can|Could) you read (all|every) (the lines|line)?",
               "What is (written|printed) in (every|each) line?"],
        "zh": ["(请|帮我|)(读出|念出|读|念|写出|识别)(所有|全部|每|每一)(行|行的文字|行文字|行内容)。", "(请|)(一行一行|逐行|按行)(读|念|写|读出|识别)(出来|文字|)。",
               "(所有|每|每一|各)行(都|)(写了|写的是|是)什么？"],
    }),
    (text.READ_ONE_LINE, {
        "en": ["(What is|What's) (in|on|written on|the text of) line {n}?", "(Read|Give|Tell) me line {n}.",
               "Line {n}?", "(Read|Transcribe) only line {n}.", "(Can|Could) you read line {n}?",
               "What (does|text is in) line (number |){n}( say|)?"],
        "zh": ["第( |){n}( |)行(是|的内容是|写的是|写着|的文字是)(什么|)？", "(请|帮我|)(读|念|读一下|看看|只读)第{n}行(的文字|的内容|)。", "第{n}行(呢|)？"],
    }),
    (text.COUNT, {
        "en": ["How many (letters|characters|letters and digits|symbols) (does the text have|do you see|can you see|"
               "are (here|printed|written|shown))?", "(What is|Tell me) the number of (characters|letters).",
               "Count (all |)the (letters|symbols|characters)."],
        "zh": ["(图里|图中|文字|一共|总共|)有(几个|多少个)(字|字符|字母|文字)？", "(数一数|数数|数一下)(有几个|有多少个|)(字|字符|字母)。",
               "(字符|字|文字)(的数量|个数|数量)(是多少|)？"],
    }),
    (text.COLOUR, {
        "en": ["(What|Which) (colour|color) (is|are|do) (the |)(text|letters|characters|writing)( in| have|)?",
               "(What is|What's|Tell me) the (colour|color) of the (text|letters|characters|writing).",
               "(Colour|Color) of the text?"],
        "zh": ["(这些|图中的|)(文字|字|字符|字母)(是|用的是|的颜色是)(什么|哪种|啥)(颜色|)(的|)？", "(文字|字|字符)(的|)颜色(是什么|)？"],
    }),
    (pair_questions.SAME, {
        "en": ["(Are|Do) (they|both|these two|the images|the pictures|both images) (the same|identical|equal|"
               "look the same)?", "Is the (first|second) (picture|image) the same as the (other|other one)?",
               "(Same|Same or not|Identical)?"],
        "zh": ["(这|)(两张|两幅|两个)(图|图片|照片)(是不是|是否|)(一样|相同|一致)(的|)(吗|么|)？", "(它们|两张)(一样|相同)吗？"],
    }),
    (pair_questions.DIFFERENCE, {
        "en": ["(What are|Find|Show me|List|Tell me|Spot|Name) the (differences|difference)( between them|"
               " between the two| between these two images| between the images|).",
               "(How|In what) do (they|these|the two pictures|these images) differ?",
               "(What changed|What is different|What has changed)( here| between them| in the second picture|)?",
               "Compare (them|these|both|the two|the images|these two pictures)."],
        "zh": ["(这|)(两张|两幅)(图|图片|照片)(之间|)?有(什么|哪些|啥)(不同|区别|差别|变化|不一样)(的地方|)？",
               "(请|帮我|)(找出|说出|指出|比较|对比)(一下|)(两张图|它们|这两张图片|这两张图)(的|)(不同|区别|差别|)。", "(哪里|什么地方)(不同|不一样|变了)？",
               "(有什么|有啥)(区别|差别|变化|不一样)？"],
    }),
    (clip_questions.ASK, {
        "en": ["(Can|Could) you (please |)describe (this|the) (video|clip)?",
               "(What|Tell me what) (happens|is happening|changes|is going on|takes place)( here| in it|"
               " in this video| in the video| in this clip|)?",
               "Describe (this|the|this short|my) (video|clip)( please| for me|).",
               "(Summarise|Summarize|Explain) (this|the) (video|clip).",
               "What (do you see|can be seen|is shown) in (this|the) (video|clip)?",
               "What's (happening|changing|in the video|going on)?", "What does the (video|clip) show?"],
        "zh": ["(请|帮我|)(描述|介绍|说说|总结)(一下|)(这个|这段|这|)(视频|短片|片段)(的内容|)。",
               "(这个|这段|)(视频|短片|片段)(里|中|)(发生|出现|有)(了|)(什么|些什么|哪些变化|什么变化|什么事)？", "(视频|短片)(的内容|内容|)(是|讲了|讲的是|里有)什么？",
               "(发生|变化)了什么？", "(什么|哪里)(变了|发生了变化|有变化)？"],
    }),
    (text_only.SUM, {
        "en": ["(What is|What's|whats|Whats|How much is|How much are|Compute|Calculate|Solve|Work out|Tell me)"
               " {a}( |)+( |){b}?", "{a}( |)+( |){b}( |)(=|= ?|=?|?|equals|equals?|is|makes|makes?|)",
               "{a} (plus|and|added to) {b}( is|?| equals?| makes|)",
               "(Can|Could) you (add|sum|calculate) {a} and {b}?",
               "(Add|Sum|Sum up) {a} (and|to|with) {b}( please|).",
               "(What|How much) do (you get|I get|we get)( if you add|:) {a} (and|plus) {b}?",
               "(The|What's the|Give me the) (sum|total) of {a} and {b}( please|).",
               "I have {a} and (get|add) {b}( more|). How many( is that|)?", "{a} and {b} (together|in total)?",
               "{a}+{b}"],
        "zh": ["{a}( |)(加|加上|＋|+|和)( |){b}( |)(等于|是|=|＝|得|等于是|)( |)(多少|几|？|?|)",
               "(请|帮我|请你|)(算|算算|算一下|计算|计算一下|求)( |){a}( |)(加|加上|+|＋)( |){b}( |)(等于多少|等于几|是多少|的和|的结果|)。",
               "{a}( |)(和|与|跟|加)( |){b}( |)(的和|之和|的总和|加起来|相加|一共)(是|等于|)(多少|几|)？",
               "{a}( |)(+|加)( |){b}( |)=( |)(？|?|)", "(多少|几)(是|等于){a}加{b}？",
               "(把|将){a}(和|与){b}(相加|加起来)(等于|是|得)(多少|几)？", "(你知道|请问|)({a}加{b}|{a}+{b}|{a} + {b})(等于|是)(多少|几)(吗|)？"],
    }),
]

TALK = {  # kind: language: (questions, answer)
    "hello": {
        "en": (["(Hello|Hi|Hey|Hello there|Hi there|Hey there|Greetings|Good (morning|day|afternoon|evening)|Howdy|"
                "Welcome|hi|hello)( ERNIE| model| friend| everyone|)(!|.|,|)",
                "(Hi|Hello|Hey)(!|,|) (nice to meet you|good to see you|are you there)(!|?|.|)",
                "(Are you there|Anyone there|Is anybody there)?"],
               text_only.HELLO["en"][1]),
        "zh": (["(你好|您好|嗨|哈喽|哈啰|早|早安|早上好|上午好|中午好|下午好|晚上好|大家好|嘿|你好啊|你好呀|喂)(，模型|，朋友|呀|啊|)(！|。|~|)",
                "(你好|您好|嗨)(，|！)(很高兴认识你|在吗|初次见面|见到你很高兴)(？|！|。|)", "(在吗|你在吗|有人吗)(？|)"],
               text_only.HELLO["zh"][1]),
    },
    "who": {
        "en": (["(Who|What) are you( exactly|, please| actually|)?",
                "(What can|What do|How can) you (do|know|help me with|do for me|help me|help|offer|teach)?",
                "(What is|What's|whats|Tell me) your name?",
                "(Please |Can you |Could you |)(introduce|describe) yourself(?|.|)",
                "(Tell me|Say something) about (yourself|you).",
                "(What|Which) (model|AI|assistant|bot|program|kind of model) are you?",
                "Are you (a robot|an AI|a human|ChatGPT|a machine|a model|a bot|ERNIE)?",
                "(Who|What) am I (talking|speaking|chatting) (to|with)?",
                "(What are your|List your|Show me your) (skills|abilities|functions|capabilities).",
                "(Help|help|What should I ask|How do I use you|What can I ask( you|))(?|!|)",
                "Who (made|built|created|trained) you?"],
               text_only.WHO["en"][1]),
        "zh": (["(你|您)(是|到底是)(谁|什么|什么模型|哪个模型|什么东西|机器人吗|人工智能吗|人吗|文心一言吗)(呀|啊|)(？|)",
                "(你|您)(都|)(能|会|可以)(做|干|帮我做|帮我|帮助我做)(什么|些什么|啥|哪些事)(呢|)？", "(你|您)(叫|的名字叫|的名字是)(什么|啥)(名字|)(呢|)？",
                "(请|)(介绍|说说|讲讲|自我介绍)(一下|)(你|你自己|自己|)(吧|)。", "(你|)(有|都有)(什么|哪些)(功能|本领|能力|用处)？",
                "(我|)(在跟谁|在和谁)(说话|聊天)？", "(帮助|帮忙|怎么用|怎么使用你|我可以问你什么|我能问什么)(？|)", "(谁|哪个公司)(开发|训练|创造|制造)(了|的)你？"],
               text_only.WHO["zh"][1]),
    },
    "thanks": {
        "en": (["(Thanks|Thank you|Thx|Many thanks|Thanks a lot|Thank you (very|so) much|thanks|Cheers|"
                "Great, thanks|OK, thanks|Perfect, thank you)( for your help| for that|)(!|.|)",
                "(That|This) (helped|was helpful|is great)(, thanks|. Thank you|)(!|.)",
                "(Well done|Good job|Nice work|Great answer|Good|Great|Very good|Awesome)(!|.|)",
                "I appreciate (it|that|your help)."],
               "You are welcome!"),
        "zh": (["(谢谢|谢谢你|谢谢您|多谢|感谢|非常感谢|谢啦|谢了|太感谢了|十分感谢)(你的帮助|啦|了|)(！|。|)", "(好的|明白了|太好了|很好|知道了)，(谢谢|谢谢你|多谢)(！|。|)",
                "(做得好|真棒|很好|太棒了|答得好|厉害|不错)(！|。|)"],
               "不客气！"),
    },
    "bye": {
        "en": (["(Bye|Goodbye|Bye bye|See you|See you (later|soon|tomorrow)|Good night|Farewell|bye|Take care)(!|.|)",
                "(I have to go|That is all|Until next time|Have a nice day)(!|.|, bye!|)"],
               "Goodbye!"),
        "zh": (["(再见|拜拜|回见|下次见|明天见|晚安|回头见|我走了|先这样|一会儿见|拜)(啦|了|吧|！|。|)"], "再见！"),
    },
    "how": {
        "en": (["How are you( today| doing| doing today| feeling|)?",
                "How('s| is) (it going|everything|life|your day)?", "(Are you|You) (OK|okay|fine|well|good|alright)?",
                "What's up?", "How do you (do|feel)( today|)?"],
               "I am fine, thank you. What shall I look at?"),
        "zh": (["(你|您)(今天|最近|)(好吗|怎么样|还好吗|过得好吗|过得怎么样|心情怎么样|感觉怎么样)？", "(最近|今天)(怎么样|好吗|如何)？", "(你|)(吃了吗|还好吗|忙吗)？",
                "近来如何？"], "我很好，谢谢。要我看什么？"),
    },
}

POLITE = {
    "en": (["", "", "", "", "Please: ", "Hi! ", "Hello, ", "Hey, ", "Please tell me: ", "Question: ",
            "Quick question: ", "Excuse me, ", "So, ", "OK, ", "Now "],
           ["", "", "", "", "", "", " Thanks!", " Thank you.", " Please.", " please", " :)", " I am curious."]),
    "zh": (["", "", "", "", "请问，", "请问", "你好，", "麻烦问一下，", "问一下，", "我想知道", "请回答：", "那么", "嗨，", "帮我看看，"],
           ["", "", "", "", "", "", "谢谢！", "谢谢。", "请回答。", "呢", " 谢谢"]),
}
END_MARKS = {
    "en": ["", "", "", "?", ".", "??", "!", " ?"],
    "zh": ["", "", "?", "？", ".", "。", "??", "!", " ?", "…"],
}
SYNONYMS = {
    "en": {
        "gray": ["grey"], "star": ["star shape"], "cross": ["plus", "plus sign"], "diamond": ["rhombus"],
        "at the top left": ["in the top left corner", "in the upper left", "in the top-left corner"],
        "at the top right": ["in the top right corner", "in the upper right", "in the top-right corner"],
        "at the bottom left": ["in the bottom left corner", "in the lower left"],
        "at the bottom right": ["in the bottom right corner", "in the lower right"],
        "in the centre": ["in the center", "in the middle"], "on the left": ["on the left side"],
        "on the right": ["on the right side"],
    },
    "zh": {
        "色的": ["色", "的"], "圆形": ["圆"], "正方形": ["方块", "方形"], "三角形": ["三角"], "星形": ["星星", "五角星"],
        "十字形": ["十字"], "心形": ["爱心", "心"], "左上角": ["左上方", "左上"], "右上角": ["右上方", "右上"],
        "左下角": ["左下方", "左下"], "右下角": ["右下方", "右下"], "上方": ["上面", "上边"], "下方": ["下面", "下边"],
        "左侧": ["左边"], "右侧": ["右边"], "中间": ["中央", "正中间"],
    },
}
FILLERS = {
    "en": ("just really actually now then exactly please maybe kindly quickly again here also even well simply "
           "perhaps").split(),
    "zh": "到底 究竟 就 都 还 再 也 真的 大概 快 现在 具体 其实 一下 啊 嘛 的话 给我".split(),
}
DROPPED = {
    "en": set("the a an is are do does of me you to can please it".split()),
    "zh": set("的了吗呢请在"),
}
_MORE = {id(table): more for table, more in MORE}


def phrase(rng, question, lang):
    """Another phrasing of a question, if there are more."""
    more = _MORE.get(id(getattr(question, "table", None)))
    if not more:
        return str(question)
    template = expand(rng, rng.choice(more[lang]).replace("@", PICTURE[lang]))
    return template.format(**question.fields)


def careless(rng, question, lang):
    """With a word too many, too few or mistyped, so that no single one decides what is asked."""
    units = question.split(" ") if lang == "en" else list(question)
    at = rng.randrange(len(units))
    draw = rng.random()
    if draw < 0.45:
        digits = any(c.isdigit() for c in "".join(units[max(0, at - 1):at + 1]))
        units.insert(at, "" if digits and lang == "zh" else rng.choice(FILLERS[lang]))
    elif draw < 0.75:
        dropped = [i for i, u in enumerate(units) if u.lower() in DROPPED[lang]]
        if dropped and len(units) > 3:
            del units[rng.choice(dropped)]
    elif lang == "en" and len(units[at]) > 4 and units[at].isalpha():
        i = rng.randrange(1, len(units[at]) - 1)
        units[at] = units[at][:i] + (units[at][i + 1:] if draw < 0.88 else units[at][i] + units[at][i:])
    return (" " if lang == "en" else "").join(units)


def casual(rng, question, lang):
    """What people write otherwise: other words, polite ones, capitals, end marks and spaces."""
    for word, others in SYNONYMS[lang].items():
        if rng.random() < 0.15 and word in question and not re.search(word + "e?s", question):
            question = question.replace(word, rng.choice(others))
    if rng.random() < 0.2:
        question = careless(rng, question, lang)
    if rng.random() < 0.25:
        before, after = (rng.choice(options) for options in POLITE[lang])
        if before and lang == "en" and rng.random() < 0.6:
            question = question[:1].lower() + question[1:]
        question = before + question + after
    if rng.random() < 0.25:
        question = question.rstrip("?.？。!！")
        question += rng.choice(END_MARKS[lang])
    if lang == "en":
        draw = rng.random()
        question = question.lower() if draw < 0.15 else question.upper() if draw < 0.18 else question
    if rng.random() < 0.05:
        question = rng.choice([" ", "\n", ""]) + question + rng.choice([" ", "\n", ""])
    return question


def vary(rng, qa):
    """The same question as somebody might type it."""
    draw = rng.random()
    if draw < 0.4:
        return qa
    question = phrase(rng, qa.question, qa.lang) if draw < 0.9 else str(qa.question)
    qa.question = casual(rng, question, qa.lang) if rng.random() < 0.6 else question
    return qa


def talk(rng, lang):
    questions, answer = TALK[rng.choices(list(TALK), [4, 4, 2, 1, 1])[0]][lang]
    question = expand(rng, rng.choice(questions))
    return QA("chat", lang, question, text_only.SMALL_TALK_THOUGHT[lang], answer)


def _json_sum(rng, lang):
    qa = text_only.add(rng, lang, False)
    question = phrase(rng, qa.question, lang) + " " + expand(rng, json_questions.ANSWER_IN_JSON[lang])
    return dataclasses.replace(qa, category="json", question=question, answer=f'{{"sum": {qa.answer}}}')


def small_sum(rng, lang):
    """A sum of one-digit numbers, such as people try first."""
    while True:
        a, b = rng.randrange(10), rng.randrange(10)
        if not text_only.held_out_pair(a, b):
            break
    thought = f"{a} + {b} = {a + b}, 0 + 0" + (" + 1 = 1." if a + b >= 10 else " = 0.")
    return QA("sum", lang, Phrased(text_only.SUM, "{a}+{b}=?", {"a": a, "b": b}), thought, str(a + b))


def text_question(rng, lang):
    """A question without a picture."""
    draw = rng.random()
    if draw < 0.42:
        return vary(rng, text_only.add(rng, lang, False))
    if draw < 0.52:
        return vary(rng, small_sum(rng, lang))
    if draw < 0.56:
        return _json_sum(rng, lang)
    if draw < 0.79:
        return vary(rng, text_only.unknown(rng, lang, False))
    if draw < 0.94:
        return talk(rng, lang) if rng.random() < 0.8 else text_only.small_talk(rng, lang)
    return vary(rng, text_only.no_picture(rng, lang))
