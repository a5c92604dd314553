"""Questions without a picture: sums, greetings, and things the model was never taught.

`exam` selects the held-out part: sums of number pairs and unknown subjects never seen in training.
"""

import random

import scene_questions
import words
from qa import QA, pick

SUM = {
    "en": ["What is {a} + {b}?", "{a} + {b} = ?", "What is {a} plus {b}?", "Add {a} and {b}.", "{a}+{b}=?",
           "How much is {a} + {b}?", "Calculate {a} + {b}.", "What is {a}+{b}?", "{a} + {b}",
           "What is the sum of {a} and {b}?"],
    "zh": ["{a}+{b}等于多少？", "{a}加{b}等于几？", "{a} + {b} = ?", "计算{a}+{b}。", "{a}加{b}是多少？", "请算一下{a}+{b}。"],
}
HELLO = {
    "en": (["Hello", "Hi", "Hello!", "Good morning", "Hi there!", "Hey"],
           "Hello! Show me shapes or printed characters, or ask me for a small sum."),
    "zh": (["你好", "你好！", "早上好", "您好", "嗨"], "你好！可以给我看图形或印刷字符，也可以问我简单加法。"),
}
WHO = {
    "en": (["Who are you?", "What are you?", "What can you do?", "What is your name?", "Introduce yourself."],
           "I am a small demo model. I see shapes, read printed characters and add small numbers."),
    "zh": (["你是谁？", "你能做什么？", "你叫什么名字？", "介绍一下你自己。", "你会什么？"],
           "我是一个小型演示模型。我能看图形、读印刷字符、做简单加法。"),
}
SMALL_TALK_THOUGHT = {"en": "I answer politely.", "zh": "礼貌地回答。"}

SUBJECTS = {
    "en": """France Germany Japan China Brazil Canada Egypt India Italy Spain Kenya Norway Peru Poland Turkey
 London Paris Berlin Tokyo Beijing Rome Madrid Cairo Moscow Sydney gold iron water oxygen hydrogen silver copper
 dogs cats horses whales elephants birds spiders bees fish wolves bears lions the_moon the_sun Mars Jupiter Venus
 the_ocean the_rain snow wind music painting football tennis chess cooking bread rice coffee tea cheese sugar
 Shakespeare Newton Einstein Mozart Napoleon Darwin Picasso Plato computers phones cars trains ships planes
 Python Linux the_internet democracy history physics chemistry biology love happiness time money banks taxes
 the_economy the_government war peace the_weather my_future my_brother her_friend the_president the_king the_queen
 dinosaurs volcanoes rivers mountains forests deserts islands trees flowers apples oranges bananas potatoes
 doctors teachers poems stories movies books newspapers schools hospitals medicine sleep dreams colours light
 robots electricity magnets atoms gravity the_brain the_heart blood bones teeth shoes clothes houses bridges""",
    "zh": """法国 德国 日本 中国 巴西 加拿大 埃及 印度 意大利 西班牙 挪威 波兰 伦敦 巴黎 柏林 东京 北京 上海 罗马 开罗
 黄金 铁 水 氧气 氢气 银 铜 狗 猫 马 鲸鱼 大象 鸟 蜘蛛 蜜蜂 鱼 狼 熊 狮子 月亮 太阳 火星 木星 金星 海洋 雨 雪 风
 音乐 绘画 足球 网球 象棋 做饭 面包 米饭 咖啡 茶 奶酪 糖 莎士比亚 牛顿 爱因斯坦 莫扎特 拿破仑 李白 杜甫 孔子
 电脑 手机 汽车 火车 轮船 飞机 互联网 历史 物理 化学 生物 爱情 幸福 时间 金钱 银行 经济 政府 战争 和平 天气 未来
 恐龙 火山 河流 高山 森林 沙漠 岛屿 树木 花 苹果 香蕉 土豆 医生 老师 诗歌 故事 电影 书 报纸 学校 医院 药 睡眠 梦
 机器人 电 磁铁 原子 重力 大脑 血液 骨头 牙齿 鞋子 衣服 房子 桥""",
}
ASK_UNKNOWN = {
    "en": ["What is the capital of {s}?", "Who invented {s}?", "Tell me about {s}.", "What is the history of {s}?",
           "Why do people like {s}?", "How old is {s}?", "What do you think about {s}?", "Explain {s} to me.",
           "Write a poem about {s}.", "Write a short story about {s}.", "How many people live in {s}?",
           "What is the best book about {s}?", "Where can I find {s}?", "How does {s} work?", "Who discovered {s}?",
           "What is the price of {s}?", "When was {s} first seen?", "Translate {s} into French.",
           "What is {s} made of?", "How far away is {s}?", "Is {s} dangerous?", "What language is spoken in {s}?",
           "Give me a recipe with {s}.", "Who is the leader of {s}?", "What is the meaning of {s}?",
           "Can you help me with {s}?", "Write code for {s}.", "What is the weather like in {s}?",
           "Tell me a joke about {s}.", "How big is {s}?", "Do you like {s}?", "What colour is {s}?",
           "How many kinds of {s} are there?", "Why is {s} important?", "What happened to {s} last year?",
           "Should I buy {s}?", "Name three facts about {s}.", "Summarise the story of {s}.",
           "What sound does {s} make?", "{s}?", "What about {s}?"],
    "zh": ["{s}的首都是哪里？", "谁发明了{s}？", "介绍一下{s}。", "{s}的历史是什么？", "人们为什么喜欢{s}？", "{s}有多少年了？",
           "你觉得{s}怎么样？", "给我解释一下{s}。", "写一首关于{s}的诗。", "写一个关于{s}的故事。", "{s}有多少人口？", "哪里能找到{s}？",
           "{s}是怎么工作的？", "谁发现了{s}？", "{s}多少钱？", "把{s}翻译成英文。", "{s}是由什么组成的？", "{s}离我们有多远？",
           "{s}危险吗？", "给我一个{s}的菜谱。", "{s}的意思是什么？", "你能帮我解决{s}的问题吗？", "{s}的天气怎么样？",
           "讲一个关于{s}的笑话。", "{s}有多大？", "你喜欢{s}吗？", "{s}有多少种？", "{s}为什么重要？", "我该买{s}吗？",
           "说说{s}的三个特点。"],
}
OTHER_SUMS = {
    "en": ["What is {a} - {b}?", "What is {a} times {b}?", "What is {a} * {b}?", "What is {a} divided by {b}?",
           "What is {a} minus {b}?", "What is {c} + {b}?", "What is {a} + {c}?"],
    "zh": ["{a}减{b}等于多少？", "{a}乘以{b}等于几？", "{a}-{b}等于多少？", "{a}除以{b}等于多少？", "{c}+{b}等于多少？"],
}
UNKNOWN_WITH_PICTURE = {
    "en": ["Who is in the picture?", "Where was this picture taken?", "When was this picture taken?",
           "Who drew this picture?", "Is there a dog in the picture?", "What is the weather in the picture?",
           "How old is the person in the picture?", "What animal is this?", "How much does this cost?"],
    "zh": ["图中的人是谁？", "这张图片是在哪里拍的？", "这张图是什么时候拍的？", "谁画了这张图？", "图里有狗吗？", "这是什么动物？",
           "这个多少钱？"],
}


def held_out_pair(a, b):
    """One pair of addends in ten, in either order, is kept for the exam."""
    return random.Random(100 * min(a, b) + max(a, b)).random() < 0.1


def _held_out_subject(i):
    return i % 8 == 5


def subjects(lang, exam):
    names = [s.replace("_", " ") for s in SUBJECTS[lang].split()]
    return [s for i, s in enumerate(names) if _held_out_subject(i) == exam]


def add(rng, lang, exam):
    while True:
        a, b = rng.randrange(100), rng.randrange(100)
        if rng.random() < 0.1:
            a %= 10
        if rng.random() < 0.1:
            b %= 10
        if held_out_pair(a, b) == exam:
            break
    units, tens = a % 10 + b % 10, a // 10 + b // 10
    thought = f"{a % 10} + {b % 10} = {units}, {a // 10} + {b // 10}"
    thought += f" + 1 = {tens + 1}." if units >= 10 else f" = {tens}."
    return QA("sum", lang, pick(rng, SUM, lang, a=a, b=b), thought, str(a + b))


def made_up(rng, lang):
    """A subject nobody knows, so that an unknown word never decides in which language to answer."""
    if lang == "zh":
        return "".join(chr(rng.randint(0x4E00, 0x9FA5)) for _ in range(rng.randint(1, 3)))
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 9)))


def unknown(rng, lang, exam):
    if rng.random() < 0.2:
        question = pick(rng, OTHER_SUMS, lang, a=rng.randrange(2, 100), b=rng.randrange(2, 100),
                        c=rng.randrange(100, 10000))
    else:
        s = made_up(rng, lang) if not exam and rng.random() < 0.4 else rng.choice(subjects(lang, exam))
        question = pick(rng, ASK_UNKNOWN, lang, s=s)
        if rng.random() < 0.1:
            question = question.rstrip("?.？。")
    return QA("unknown", lang, question, words.UNKNOWN_THOUGHT[lang], words.UNKNOWN[lang])


def unknown_with_picture(rng, lang, exam):
    if rng.random() < 0.5:
        return unknown(rng, lang, exam)
    return QA("unknown", lang, pick(rng, UNKNOWN_WITH_PICTURE, lang), words.UNKNOWN_THOUGHT[lang],
              words.UNKNOWN[lang])


def small_talk(rng, lang):
    questions, answer = (HELLO if rng.random() < 0.5 else WHO)[lang]
    return QA("chat", lang, rng.choice(questions), SMALL_TALK_THOUGHT[lang], answer)


def no_picture(rng, lang):
    """A question about a picture when there is none."""
    qa = scene_questions.ask(rng, scene_questions.make_things(rng), lang)
    return QA("unknown", lang, qa.question, words.NO_PICTURE_THOUGHT[lang], words.NO_PICTURE[lang])


def ask(rng, lang, exam=False):
    draw = rng.random()
    if draw < 0.6:
        return add(rng, lang, exam)
    if draw < 0.88:
        return unknown(rng, lang, exam)
    return small_talk(rng, lang) if draw < 0.94 else no_picture(rng, lang)
