"""Sentences in two languages with the runs that a speaker hears and their phones, written out by hand.

One case: the text, the language it is given as, and its runs: language, normal form, phones. Digits are read in the
language around them; a Latin word keeps its English phones (CMUdict's) in a Chinese sentence; neighbouring third tones
change inside a number.
"""

Runs = tuple[tuple[str, str, str], ...]

SENTENCES: list[tuple[str, str, Runs]] = [
    (
        "我在Google上search了一下。",
        "zh",
        (
            ("zh", "我在", "w o3 z ai4"),
            ("en", "google", "G UW1 G AH0 L"),
            ("zh", "上", "sh ang4"),
            ("en", "search", "S ER1 CH"),
            ("zh", "了一下.", "l e5 y i2 x ia4 ."),
        ),
    ),
    (
        "这个APP很好用。",
        "zh",
        (
            ("zh", "这个", "zh e4 g e5"),
            ("en", "A P P", "EY1 P IY1 P IY1"),
            ("zh", "很好用.", "h en2 h ao3 y ong4 ."),
        ),
    ),
    (
        "今天是Monday，很busy。",
        "zh",
        (
            ("zh", "今天是", "j in1 t ian1 sh ir4"),
            ("en", "monday", "M AH1 N D IY0"),
            ("zh", ",很", ", h en3"),
            ("en", "busy", "B IH1 Z IY0"),
            ("zh", ".", "."),
        ),
    ),
    (
        "他有3台MacBook。",
        "zh",
        (
            ("zh", "他有三台", "t a1 y ou3 s an1 t ai2"),
            ("en", "macbook", "M AE1 K B UH2 K"),
            ("zh", ".", "."),
        ),
    ),
    (
        "iPhone 15的价格是5999元。",
        "zh",
        (
            ("en", "I phone", "AY1 F OW1 N"),
            (
                "zh",
                "十五的价格是五千九百九十九元.",
                "sh ir2 w u3 d e5 j ia4 g e2 sh ir4 w u3 q ian1 j iu2 b ai2 j iu3 sh ir2 j iu3 y van2 .",
            ),
        ),
    ),
    (
        "他说：“I have 3 dogs.”",
        "zh",
        (
            ("zh", "他说,", "t a1 sh uo1 ,"),
            ("en", "I have three dogs", "AY1 HH AE1 V TH R IY1 D AA1 G Z"),
            ("zh", ".", "."),
        ),
    ),
    (
        "请用Wi-Fi上网。",
        "zh",
        (
            ("zh", "请用", "q ing3 y ong4"),
            ("en", "wifi", "W AY1 F AY2"),
            ("zh", "上网.", "sh ang4 w ang3 ."),
        ),
    ),
    (
        "GDP增长了3.5%。",
        "zh",
        (
            ("en", "G D P", "JH IY1 D IY1 P IY1"),
            ("zh", "增长了百分之三点五.", "z eng1 zh ang3 l e5 b ai3 f en1 zh ir1 s an1 d ian2 w u3 ."),
        ),
    ),
    (
        "我买了一件T恤。",
        "zh",
        (
            ("zh", "我买了一件", "w o2 m ai3 l e5 y i2 j ian4"),
            ("en", "T", "T IY1"),
            ("zh", "恤.", "x v4 ."),
        ),
    ),
    (
        "AI正在改变IT行业。",
        "zh",
        (
            ("en", "A I", "EY1 AY1"),
            ("zh", "正在改变", "zh eng4 z ai4 g ai3 b ian4"),
            ("en", "I T", "AY1 T IY1"),
            ("zh", "行业.", "h ang2 y E4 ."),
        ),
    ),
    (
        "Hello，你好！",
        "zh",
        (
            ("en", "hello", "HH AH0 L OW1"),
            ("zh", ",你好!", ", n i2 h ao3 !"),
        ),
    ),
    (
        "明天下午3点开meeting。",
        "zh",
        (
            ("zh", "明天下午三点开", "m ing2 t ian1 x ia4 w u3 s an1 d ian3 k ai1"),
            ("en", "meeting", "M IY1 T IH0 NG"),
            ("zh", ".", "."),
        ),
    ),
    (
        "NBA的比赛很精彩。",
        "zh",
        (
            ("en", "N B A", "EH1 N B IY1 EY1"),
            ("zh", "的比赛很精彩.", "d e5 b i3 s ai4 h en3 j ing1 c ai3 ."),
        ),
    ),
    (
        "Dr. Smith来北京了。",
        "zh",
        (
            ("en", "doctor smith", "D AA1 K T ER0 S M IH1 TH"),
            ("zh", "来北京了.", "l ai2 b ei3 j ing1 l e5 ."),
        ),
    ),
    (
        "这本书叫Harry Potter。",
        "zh",
        (
            ("zh", "这本书叫", "zh e4 b en3 sh u1 j iao4"),
            ("en", "harry potter", "HH EH1 R IY0 P AA1 T ER0"),
            ("zh", ".", "."),
        ),
    ),
    (
        "5G手机卖得很好。",
        "zh",
        (
            ("zh", "五", "w u3"),
            ("en", "G", "JH IY1"),
            ("zh", "手机卖得很好.", "sh ou3 j i1 m ai4 d e5 h en2 h ao3 ."),
        ),
    ),
    (
        "我的email是tom@mail.com。",
        "zh",
        (
            ("zh", "我的", "w o3 d e5"),
            ("en", "email", "IY0 M EY1 L"),
            ("zh", "是", "sh ir4"),
            ("en", "tom at mail dot com", "T AA1 M AE1 T M EY1 L D AA1 T K AA1 M"),
            ("zh", ".", "."),
        ),
    ),
    (
        "OK，没问题。",
        "zh",
        (
            ("en", "okay", "OW2 K EY1"),
            ("zh", ",没问题.", ", m ei2 w en4 t i2 ."),
        ),
    ),
    (
        "I love 北京 very much.",
        "en",
        (
            ("en", "I love", "AY1 L AH1 V"),
            ("zh", "北京", "b ei3 j ing1"),
            ("en", "very much.", "V EH1 R IY0 M AH1 CH ."),
        ),
    ),
    (
        "The 2 words 你好 mean hello.",
        "en",
        (
            ("en", "the two words", "DH AH0 T UW1 W ER1 D Z"),
            ("zh", "你好", "n i2 h ao3"),
            ("en", "mean hello.", "M IY1 N HH AH0 L OW1 ."),
        ),
    ),
]
