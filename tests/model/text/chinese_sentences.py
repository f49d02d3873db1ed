"""Chinese sentences of every hard kind with what a speaker of Mandarin says, written out by hand.

One case: the text, its normal form, and the reading of every Chinese character of the normal form: pinyin with the tone
that is heard (after sandhi), 5 = neutral. Punctuation and Latin letters have no reading here.

Where Mandarin leaves a choice, these hold:
- 儿 that only colours the syllable before it is its own syllable `er` with the tone of that syllable (the symbol table
  of GPT-SoVITS v2 has no rhotic finals): 花儿 = hua1 er1.
- The classifier 个 is neutral; so are 上 and 里 behind a noun; 知道, 里面 and 这里 are read in full.
- 一 keeps its first tone where it is a digit, an ordinal, the last place of a number, a date or a score.
- Neighbouring third tones change inside a word, a number and its classifier, and wherever one of the two words is a
  monosyllable or the left one is no noun.
"""

SENTENCES: dict[str, list[tuple[str, str, str]]] = {
    "numbers": [
        ("这个班有35个学生。", "这个班有三十五个学生.", "zhe4 ge5 ban1 you3 san1 shi2 wu3 ge5 xue2 sheng5"),
        (
            "今年的产量是12345吨。",
            "今年的产量是一万二千三百四十五吨.",
            "jin1 nian2 de5 chan3 liang4 shi4 yi2 wan4 er4 qian1 san1 bai3 si4 shi2 wu3 dun1",
        ),
        (
            "他一共走了10086步。",
            "他一共走了一万零八十六步.",
            "ta1 yi2 gong4 zou3 le5 yi2 wan4 ling2 ba1 shi2 liu4 bu4",
        ),
        ("全国人口超过14亿。", "全国人口超过十四亿.", "quan2 guo2 ren2 kou3 chao1 guo4 shi2 si4 yi4"),
        (
            "仓库里还有2,500箱苹果。",
            "仓库里还有两千五百箱苹果.",
            "cang1 ku4 li5 hai2 you2 liang3 qian1 wu2 bai3 xiang1 ping2 guo3",
        ),
        (
            "圆周率约等于3.14159。",
            "圆周率约等于三点一四一五九.",
            "yuan2 zhou1 lv4 yue1 deng3 yu2 san1 dian3 yi1 si4 yi1 wu2 jiu3",
        ),
        ("气温降到了-8度。", "气温降到了零下八度.", "qi4 wen1 jiang4 dao4 le5 ling2 xia4 ba1 du4"),
        ("这道题的答案是-15。", "这道题的答案是负十五.", "zhe4 dao4 ti2 de5 da2 an4 shi4 fu4 shi2 wu3"),
        ("水占人体的2/3。", "水占人体的三分之二.", "shui3 zhan4 ren2 ti3 de5 san1 fen1 zhi1 er4"),
        (
            "我买了2本书和12支笔。",
            "我买了两本书和十二支笔.",
            "wo2 mai3 le5 liang2 ben3 shu1 he2 shi2 er4 zhi1 bi3",
        ),
        (
            "第2名和第21名只差1分。",
            "第二名和第二十一名只差一分.",
            "di4 er4 ming2 he2 di4 er4 shi2 yi1 ming2 zhi3 cha4 yi4 fen1",
        ),
        (
            "这座城市有2000多年的历史。",
            "这座城市有两千多年的历史.",
            "zhe4 zuo4 cheng2 shi4 you2 liang3 qian1 duo1 nian2 de5 li4 shi3",
        ),
    ],
    "dates and times": [
        (
            "2024年3月15日是星期五。",
            "二零二四年三月十五日是星期五.",
            "er4 ling2 er4 si4 nian2 san1 yue4 shi2 wu3 ri4 shi4 xing1 qi1 wu3",
        ),
        (
            "会议定在2023-11-08举行。",
            "会议定在二零二三年十一月八日举行.",
            "hui4 yi4 ding4 zai4 er4 ling2 er4 san1 nian2 shi2 yi1 yue4 ba1 ri4 ju3 xing2",
        ),
        ("他出生于1998年。", "他出生于一九九八年.", "ta1 chu1 sheng1 yu2 yi1 jiu2 jiu3 ba1 nian2"),
        (
            "火车8:05开，请提前到站。",
            "火车八点零五分开,请提前到站.",
            "huo3 che1 ba1 dian3 ling2 wu3 fen1 kai1 qing3 ti2 qian2 dao4 zhan4",
        ),
        ("我们下午3:30见面。", "我们下午三点半见面.", "wo3 men5 xia4 wu3 san1 dian3 ban4 jian4 mian4"),
        (
            "图书馆的开放时间是9:00-17:30。",
            "图书馆的开放时间是九点到十七点半.",
            "tu2 shu1 guan3 de5 kai1 fang4 shi2 jian1 shi4 jiu2 dian3 dao4 shi2 qi1 dian3 ban4",
        ),
        (
            "现在是14:25:08。",
            "现在是十四点二十五分零八秒.",
            "xian4 zai4 shi4 shi2 si4 dian3 er4 shi2 wu3 fen1 ling2 ba1 miao3",
        ),
        (
            "上个世纪90年代，他去了法国。",
            "上个世纪九十年代,他去了法国.",
            "shang4 ge5 shi4 ji4 jiu3 shi2 nian2 dai4 ta1 qu4 le5 fa3 guo2",
        ),
        (
            "放假时间为10月1日至7日。",
            "放假时间为十月一日至七日.",
            "fang4 jia4 shi2 jian1 wei2 shi2 yue4 yi1 ri4 zhi4 qi1 ri4",
        ),
        (
            "她从2015-2020年在北京工作。",
            "她从二零一五到二零二零年在北京工作.",
            "ta1 cong2 er4 ling2 yi1 wu3 dao4 er4 ling2 er4 ling2 nian2 zai4 bei3 jing1 gong1 zuo4",
        ),
        ("凌晨2点，外面下起了雨。", "凌晨两点,外面下起了雨.", "ling2 chen2 liang2 dian3 wai4 mian4 xia4 qi3 le5 yu3"),
        (
            "今天是12月31号，明天就是元旦。",
            "今天是十二月三十一号,明天就是元旦.",
            "jin1 tian1 shi4 shi2 er4 yue4 san1 shi2 yi1 hao4 ming2 tian1 jiu4 shi4 yuan2 dan4",
        ),
    ],
    "money": [
        ("这件衣服299元。", "这件衣服二百九十九元.", "zhe4 jian4 yi1 fu5 er4 bai2 jiu3 shi2 jiu3 yuan2"),
        (
            "一杯咖啡要¥32.5。",
            "一杯咖啡要三十二点五元.",
            "yi4 bei1 ka1 fei1 yao4 san1 shi2 er4 dian2 wu3 yuan2",
        ),
        (
            "这台电脑的价格是$1,299。",
            "这台电脑的价格是一千二百九十九美元.",
            "zhe4 tai2 dian4 nao3 de5 jia4 ge2 shi4 yi4 qian1 er4 bai2 jiu3 shi2 jiu2 mei3 yuan2",
        ),
        (
            "门票每张80.00元，学生半价。",
            "门票每张八十元,学生半价.",
            "men2 piao4 mei3 zhang1 ba1 shi2 yuan2 xue2 sheng5 ban4 jia4",
        ),
        (
            "公司去年赚了2.5亿元。",
            "公司去年赚了二点五亿元.",
            "gong1 si1 qu4 nian2 zhuan4 le5 er4 dian2 wu3 yi4 yuan2",
        ),
        ("他欠我200块钱。", "他欠我二百块钱.", "ta1 qian4 wo3 er4 bai3 kuai4 qian2"),
        (
            "£50大约等于450元人民币。",
            "五十英镑大约等于四百五十元人民币.",
            "wu3 shi2 ying1 bang4 da4 yue1 deng3 yu2 si4 bai2 wu3 shi2 yuan2 ren2 min2 bi4",
        ),
    ],
    "telephones and identifiers": [
        (
            "我的手机号是13800138000。",
            "我的手机号是幺三八零零幺三八零零零.",
            "wo3 de5 shou3 ji1 hao4 shi4 yao1 san1 ba1 ling2 ling2 yao1 san1 ba1 ling2 ling2 ling2",
        ),
        (
            "请拨打010-62345678咨询。",
            "请拨打零幺零,六二三四五六七八咨询.",
            "qing3 bo1 da3 ling2 yao1 ling2 liu4 er4 san1 si4 wu3 liu4 qi1 ba1 zi1 xun2",
        ),
        ("遇到火灾请打119。", "遇到火灾请打幺幺九.", "yu4 dao4 huo3 zai1 qing2 da3 yao1 yao1 jiu3"),
        (
            "客服电话：400-820-8820",
            "客服电话,四零零,八二零,八八二零",
            "ke4 fu2 dian4 hua4 si4 ling2 ling2 ba1 er4 ling2 ba1 ba1 er4 ling2",
        ),
        (
            "您的验证码是074135。",
            "您的验证码是零七四一三五.",
            "nin2 de5 yan4 zheng4 ma3 shi4 ling2 qi1 si4 yi1 san1 wu3",
        ),
        ("我住在502房间。", "我住在五零二房间.", "wo3 zhu4 zai4 wu3 ling2 er4 fang2 jian1"),
        (
            "订单编号：20230915",
            "订单编号,二零二三零九一五",
            "ding4 dan1 bian1 hao4 er4 ling2 er4 san1 ling2 jiu3 yi1 wu3",
        ),
    ],
    "units, percent, ranges and signs": [
        (
            "从北京到上海大约1200km。",
            "从北京到上海大约一千二百公里.",
            "cong2 bei3 jing1 dao4 shang4 hai3 da4 yue1 yi4 qian1 er4 bai3 gong1 li3",
        ),
        ("这袋米重5kg。", "这袋米重五公斤.", "zhe4 dai4 mi3 zhong4 wu3 gong1 jin1"),
        (
            "我家的面积是89㎡。",
            "我家的面积是八十九平方米.",
            "wo3 jia1 de5 mian4 ji1 shi4 ba1 shi2 jiu3 ping2 fang1 mi3",
        ),
        ("风速达到了15m/s。", "风速达到了十五米每秒.", "feng1 su4 da2 dao4 le5 shi2 wu2 mi3 mei2 miao3"),
        (
            "今天最高气温36.5℃。",
            "今天最高气温三十六点五摄氏度.",
            "jin1 tian1 zui4 gao1 qi4 wen1 san1 shi2 liu4 dian2 wu3 she4 shi4 du4",
        ),
        (
            "高速公路限速120km/h。",
            "高速公路限速一百二十公里每小时.",
            "gao1 su4 gong1 lu4 xian4 su4 yi4 bai3 er4 shi2 gong1 li3 mei2 xiao3 shi2",
        ),
        (
            "超过85%的人同意这个计划。",
            "超过百分之八十五的人同意这个计划.",
            "chao1 guo4 bai3 fen1 zhi1 ba1 shi2 wu3 de5 ren2 tong2 yi4 zhe4 ge5 ji4 hua4",
        ),
        (
            "降水概率为30%~50%。",
            "降水概率为百分之三十到百分之五十.",
            "jiang4 shui3 gai4 lv4 wei2 bai3 fen1 zhi1 san1 shi2 dao4 bai3 fen1 zhi1 wu3 shi2",
        ),
        (
            "每天喝6-8杯水对身体好。",
            "每天喝六到八杯水对身体好.",
            "mei3 tian1 he1 liu4 dao4 ba1 bei1 shui3 dui4 shen1 ti2 hao3",
        ),
        (
            "中国队以3:1战胜了对手。",
            "中国队以三比一战胜了对手.",
            "zhong1 guo2 dui4 yi3 san1 bi3 yi1 zhan4 sheng4 le5 dui4 shou3",
        ),
        (
            "3+5=8，12-7=5。",
            "三加五等于八,十二减七等于五.",
            "san1 jia1 wu2 deng3 yu2 ba1 shi2 er4 jian3 qi1 deng3 yu2 wu3",
        ),
        ("这瓶水是500ml的。", "这瓶水是五百毫升的.", "zhe4 ping2 shui3 shi4 wu2 bai3 hao2 sheng1 de5"),
        ("屏幕的比例是16:9。", "屏幕的比例是十六比九.", "ping2 mu4 de5 bi3 li4 shi4 shi2 liu4 bi2 jiu3"),
        ("孩子今年5~6岁了。", "孩子今年五到六岁了.", "hai2 zi5 jin1 nian2 wu3 dao4 liu4 sui4 le5"),
    ],
    "the tones of 一": [
        ("我想看一看这本书。", "我想看一看这本书.", "wo2 xiang3 kan4 yi5 kan4 zhe4 ben3 shu1"),
        ("他一个人在家等了一天。", "他一个人在家等了一天.", "ta1 yi2 ge5 ren2 zai4 jia1 deng3 le5 yi4 tian1"),
        ("我们一起去一趟医院吧。", "我们一起去一趟医院吧.", "wo3 men5 yi4 qi3 qu4 yi2 tang4 yi1 yuan4 ba5"),
        (
            "第一次见面，他一句话也没说。",
            "第一次见面,他一句话也没说.",
            "di4 yi1 ci4 jian4 mian4 ta1 yi2 ju4 hua4 ye3 mei2 shuo1",
        ),
        ("这两种方法不一样。", "这两种方法不一样.", "zhe4 liang2 zhong3 fang1 fa3 bu4 yi2 yang4"),
        (
            "万一下雨，比赛就统一推迟。",
            "万一下雨,比赛就统一推迟.",
            "wan4 yi1 xia4 yu3 bi3 sai4 jiu4 tong3 yi1 tui1 chi2",
        ),
        ("他一边吃饭一边看电视。", "他一边吃饭一边看电视.", "ta1 yi4 bian1 chi1 fan4 yi4 bian1 kan4 dian4 shi4"),
        (
            "一百个人里只有一两个迟到。",
            "一百个人里只有一两个迟到.",
            "yi4 bai3 ge5 ren2 li5 zhi2 you3 yi4 liang3 ge5 chi2 dao4",
        ),
    ],
    "the tones of 不": [
        ("我不去，你去不去？", "我不去,你去不去?", "wo3 bu2 qu4 ni3 qu4 bu5 qu4"),
        ("对不起，我听不懂。", "对不起,我听不懂.", "dui4 bu5 qi3 wo3 ting1 bu5 dong3"),
        ("这个不贵，也不便宜。", "这个不贵,也不便宜.", "zhe4 ge5 bu2 gui4 ye3 bu4 pian2 yi5"),
        ("他不但不生气，反而笑了。", "他不但不生气,反而笑了.", "ta1 bu2 dan4 bu4 sheng1 qi4 fan3 er2 xiao4 le5"),
        (
            "好不好吃，你尝一尝就知道了。",
            "好不好吃,你尝一尝就知道了.",
            "hao3 bu5 hao3 chi1 ni3 chang2 yi5 chang2 jiu4 zhi1 dao4 le5",
        ),
        (
            "不要不好意思，大家都差不多。",
            "不要不好意思,大家都差不多.",
            "bu2 yao4 bu4 hao3 yi4 si5 da4 jia1 dou1 cha4 bu5 duo1",
        ),
        ("工作从不间断。", "工作从不间断.", "gong1 zuo4 cong2 bu2 jian4 duan4"),
    ],
    "third tones": [
        ("你好，请坐。", "你好,请坐.", "ni2 hao3 qing3 zuo4"),
        ("我很喜欢这只小老虎。", "我很喜欢这只小老虎.", "wo3 hen2 xi3 huan5 zhe4 zhi1 xiao3 lao2 hu3"),
        ("展览馆里有很多水果。", "展览馆里有很多水果.", "zhan2 lan2 guan3 li5 you2 hen3 duo1 shui2 guo3"),
        ("老板请我们吃海鲜。", "老板请我们吃海鲜.", "lao2 ban3 qing2 wo3 men5 chi1 hai3 xian1"),
        ("我可以给你写几首诗。", "我可以给你写几首诗.", "wo3 ke2 yi3 gei2 ni2 xie3 ji2 shou3 shi1"),
        ("请把雨伞给我。", "请把雨伞给我.", "qing2 ba3 yu2 san3 gei2 wo3"),
        ("总统府里有五百把椅子。", "总统府里有五百把椅子.", "zong2 tong2 fu3 li5 you3 wu2 bai2 ba2 yi3 zi5"),
        ("你想买哪种手表？", "你想买哪种手表?", "ni3 xiang2 mai3 na2 zhong3 shou2 biao3"),
    ],
    "neutral tones": [
        ("妈妈和爸爸去了奶奶家。", "妈妈和爸爸去了奶奶家.", "ma1 ma5 he2 ba4 ba5 qu4 le5 nai3 nai5 jia1"),
        ("孩子们坐在石头上休息。", "孩子们坐在石头上休息.", "hai2 zi5 men5 zuo4 zai4 shi2 tou5 shang5 xiu1 xi5"),
        ("你知道他叫什么名字吗？", "你知道他叫什么名字吗?", "ni3 zhi1 dao4 ta1 jiao4 shen2 me5 ming2 zi5 ma5"),
        ("我觉得这个地方很漂亮。", "我觉得这个地方很漂亮.", "wo3 jue2 de5 zhe4 ge5 di4 fang5 hen3 piao4 liang5"),
        ("姐姐的头发又长又黑。", "姐姐的头发又长又黑.", "jie3 jie5 de5 tou2 fa5 you4 chang2 you4 hei1"),
        ("你先坐下来，喝点水吧。", "你先坐下来,喝点水吧.", "ni3 xian1 zuo4 xia4 lai5 he1 dian2 shui3 ba5"),
        (
            "月亮出来了，外面凉快多了。",
            "月亮出来了,外面凉快多了.",
            "yue4 liang5 chu1 lai5 le5 wai4 mian4 liang2 kuai5 duo1 le5",
        ),
        (
            "先生，您的钥匙掉在地上了。",
            "先生,您的钥匙掉在地上了.",
            "xian1 sheng5 nin2 de5 yao4 shi5 diao4 zai4 di4 shang5 le5",
        ),
        (
            "你去问问老师，试试新的办法。",
            "你去问问老师,试试新的办法.",
            "ni3 qu4 wen4 wen5 lao3 shi1 shi4 shi5 xin1 de5 ban4 fa3",
        ),
    ],
    "erhua": [
        ("我们去公园玩儿吧。", "我们去公园玩儿吧.", "wo3 men5 qu4 gong1 yuan2 wan2 er2 ba5"),
        ("等一会儿，我马上就来。", "等一会儿,我马上就来.", "deng3 yi2 hui4 er4 wo2 ma3 shang4 jiu4 lai2"),
        ("这儿的花儿开得真好看。", "这儿的花儿开得真好看.", "zhe4 er4 de5 hua1 er1 kai1 de5 zhen1 hao3 kan4"),
        ("女儿和儿子都在幼儿园。", "女儿和儿子都在幼儿园.", "nv3 er2 he2 er2 zi5 dou1 zai4 you4 er2 yuan2"),
        (
            "一点儿小事，别放在心上。",
            "一点儿小事,别放在心上.",
            "yi4 dian2 er2 xiao3 shi4 bie2 fang4 zai4 xin1 shang5",
        ),
    ],
    "characters of several readings": [
        ("银行行长长得很高。", "银行行长长得很高.", "yin2 hang2 hang2 zhang2 zhang3 de5 hen3 gao1"),
        ("他的音乐让我很快乐。", "他的音乐让我很快乐.", "ta1 de5 yin1 yue4 rang4 wo2 hen3 kuai4 le4"),
        ("我得还他钱，还得道歉。", "我得还他钱,还得道歉.", "wo2 dei3 huan2 ta1 qian2 hai2 dei3 dao4 qian4"),
        (
            "重庆的重要会议要重新安排。",
            "重庆的重要会议要重新安排.",
            "chong2 qing4 de5 zhong4 yao4 hui4 yi4 yao4 chong2 xin1 an1 pai2",
        ),
        ("他睡着了，灯还亮着。", "他睡着了,灯还亮着.", "ta1 shui4 zhao2 le5 deng1 hai2 liang4 zhe5"),
        (
            "为了健康，他认为应该早睡。",
            "为了健康,他认为应该早睡.",
            "wei4 le5 jian4 kang1 ta1 ren4 wei2 ying1 gai1 zao3 shui4",
        ),
        ("首都的人都爱好文学。", "首都的人都爱好文学.", "shou3 du1 de5 ren2 dou1 ai4 hao4 wen2 xue2"),
        (
            "请数一数，一共有多少个数字。",
            "请数一数,一共有多少个数字.",
            "qing2 shu3 yi5 shu3 yi2 gong4 you3 duo1 shao5 ge5 shu4 zi4",
        ),
        (
            "老师给我们传授传统文化，还讲人物传记。",
            "老师给我们传授传统文化,还讲人物传记.",
            "lao3 shi1 gei2 wo3 men5 chuan2 shou4 chuan2 tong3 wen2 hua4 hai2 jiang3 ren2 wu4 zhuan4 ji4",
        ),
        ("朝阳区的工人干劲很足。", "朝阳区的工人干劲很足.", "chao2 yang2 qu1 de5 gong1 ren2 gan4 jin4 hen3 zu2"),
        (
            "他把头发剪短了，发现便宜又方便。",
            "他把头发剪短了,发现便宜又方便.",
            "ta1 ba3 tou2 fa5 jian2 duan3 le5 fa1 xian4 pian2 yi5 you4 fang1 bian4",
        ),
        (
            "空调调到26度就行。",
            "空调调到二十六度就行.",
            "kong1 tiao2 tiao2 dao4 er4 shi2 liu4 du4 jiu4 xing2",
        ),
        ("他背着书包，背上都是汗。", "他背着书包,背上都是汗.", "ta1 bei1 zhe5 shu1 bao1 bei4 shang5 dou1 shi4 han4"),
        ("这种种子要种在土里。", "这种种子要种在土里.", "zhe4 zhong2 zhong3 zi5 yao4 zhong4 zai4 tu3 li5"),
        ("他只好一只手拿着伞。", "他只好一只手拿着伞.", "ta1 zhi2 hao3 yi4 zhi1 shou3 na2 zhe5 san3"),
        ("这本书我看了好几遍。", "这本书我看了好几遍.", "zhe4 ben3 shu1 wo3 kan4 le5 hao2 ji3 bian4"),
        ("会计在会议室算账。", "会计在会议室算账.", "kuai4 ji4 zai4 hui4 yi4 shi4 suan4 zhang4"),
        ("天气转暖，轮子转得飞快。", "天气转暖,轮子转得飞快.", "tian1 qi4 zhuan2 nuan3 lun2 zi5 zhuan4 de5 fei1 kuai4"),
        (
            "他教书三十年了，教学水平很高。",
            "他教书三十年了,教学水平很高.",
            "ta1 jiao1 shu1 san1 shi2 nian2 le5 jiao4 xue2 shui3 ping2 hen3 gao1",
        ),
        (
            "曾经有一位曾先生住在这里。",
            "曾经有一位曾先生住在这里.",
            "ceng2 jing1 you3 yi2 wei4 zeng1 xian1 sheng5 zhu4 zai4 zhe4 li3",
        ),
    ],
    "Latin letters between": [
        ("我用Python写了3个程序。", "我用Python写了三个程序.", "wo3 yong4 xie3 le5 san1 ge5 cheng2 xu4"),
        (
            "这部iPhone 15卖5999元。",
            "这部iPhone十五卖五千九百九十九元.",
            "zhe4 bu4 shi2 wu3 mai4 wu3 qian1 jiu2 bai2 jiu3 shi2 jiu3 yuan2",
        ),
        (
            "请发邮件到我的Gmail，谢谢！",
            "请发邮件到我的Gmail,谢谢!",
            "qing3 fa1 you2 jian4 dao4 wo3 de5 xie4 xie5",
        ),
        ("5G网络比4G快10倍。", "五G网络比四G快十倍.", "wu3 wang3 luo4 bi3 si4 kuai4 shi2 bei4"),
        ("他在NBA打了12年球。", "他在NBA打了十二年球.", "ta1 zai4 da3 le5 shi2 er4 nian2 qiu2"),
        (
            "CPU的温度是75℃，OK吗？",
            "CPU的温度是七十五摄氏度,OK吗?",
            "de5 wen1 du4 shi4 qi1 shi2 wu3 she4 shi4 du4 ma5",
        ),
    ],
    "signs and scripts": [
        (
            "“你好！”他说：（小声地）“走吧……”",
            "你好!他说,小声地,走吧…",
            "ni2 hao3 ta1 shuo1 xiao3 sheng1 de5 zou3 ba5",
        ),
        ("Ａ座１２层", "A座十二层", "zuo4 shi2 er4 ceng2"),
        ("我們學習臺灣的歷史。", "我们学习台湾的历史.", "wo3 men5 xue2 xi2 tai2 wan1 de5 li4 shi3"),
    ],
    "everyday sentences": [
        ("昨天夜里下了一场大雪。", "昨天夜里下了一场大雪.", "zuo2 tian1 ye4 li5 xia4 le5 yi4 chang2 da4 xue3"),
        ("请问洗手间在哪儿？", "请问洗手间在哪儿?", "qing3 wen4 xi2 shou3 jian1 zai4 na3 er3"),
        ("他把水倒在杯子里。", "他把水倒在杯子里.", "ta1 ba2 shui3 dao4 zai4 bei1 zi5 li5"),
        (
            "这个月我要还银行3000元贷款。",
            "这个月我要还银行三千元贷款.",
            "zhe4 ge5 yue4 wo3 yao4 huan2 yin2 hang2 san1 qian1 yuan2 dai4 kuan3",
        ),
        ("老王长得像他爸爸。", "老王长得像他爸爸.", "lao3 wang2 zhang3 de5 xiang4 ta1 ba4 ba5"),
        ("校长站在长长的走廊里。", "校长站在长长的走廊里.", "xiao4 zhang3 zhan4 zai4 chang2 chang2 de5 zou3 lang2 li5"),
        ("我不太明白你的意思。", "我不太明白你的意思.", "wo3 bu2 tai4 ming2 bai5 ni3 de5 yi4 si5"),
        (
            "他们俩一个喝茶，一个喝咖啡。",
            "他们俩一个喝茶,一个喝咖啡.",
            "ta1 men5 lia3 yi2 ge5 he1 cha2 yi2 ge5 he1 ka1 fei1",
        ),
        (
            "今年GDP增长了5.2%。",
            "今年GDP增长了百分之五点二.",
            "jin1 nian2 zeng1 zhang3 le5 bai3 fen1 zhi1 wu2 dian3 er4",
        ),
        (
            "高铁时速可达350公里。",
            "高铁时速可达三百五十公里.",
            "gao1 tie3 shi2 su4 ke3 da2 san1 bai2 wu3 shi2 gong1 li3",
        ),
        (
            "明天早上7点20分在地铁站门口集合。",
            "明天早上七点二十分在地铁站门口集合.",
            "ming2 tian1 zao3 shang5 qi1 dian3 er4 shi2 fen1 zai4 di4 tie3 zhan4 men2 kou3 ji2 he2",
        ),
        (
            "我每天都睡八个小时的觉。",
            "我每天都睡八个小时的觉.",
            "wo2 mei3 tian1 dou1 shui4 ba1 ge5 xiao3 shi2 de5 jiao4",
        ),
        ("老师让我们背课文。", "老师让我们背课文.", "lao3 shi1 rang4 wo3 men5 bei4 ke4 wen2"),
        ("他高兴地跳了起来。", "他高兴地跳了起来.", "ta1 gao1 xing4 de5 tiao4 le5 qi3 lai5"),
        ("这块地很大，种满了玉米。", "这块地很大,种满了玉米.", "zhe4 kuai4 di4 hen3 da4 zhong4 man3 le5 yu4 mi3"),
        ("奶奶在厨房里包饺子。", "奶奶在厨房里包饺子.", "nai3 nai5 zai4 chu2 fang2 li5 bao1 jiao3 zi5"),
        ("我想买一双新鞋子。", "我想买一双新鞋子.", "wo3 xiang2 mai3 yi4 shuang1 xin1 xie2 zi5"),
        ("你有没有听说过这件事？", "你有没有听说过这件事?", "ni2 you3 mei2 you3 ting1 shuo1 guo5 zhe4 jian4 shi4"),
        (
            "他说得很清楚，我听得很明白。",
            "他说得很清楚,我听得很明白.",
            "ta1 shuo1 de5 hen3 qing1 chu5 wo3 ting1 de5 hen3 ming2 bai5",
        ),
        (
            "西藏的天空很蓝，宝藏很多。",
            "西藏的天空很蓝,宝藏很多.",
            "xi1 zang4 de5 tian1 kong1 hen3 lan2 bao3 zang4 hen3 duo1",
        ),
        (
            "解放军战士缴获了敌人的子弹。",
            "解放军战士缴获了敌人的子弹.",
            "jie3 fang4 jun1 zhan4 shi4 jiao3 huo4 le5 di2 ren2 de5 zi3 dan4",
        ),
        ("她正在弹钢琴。", "她正在弹钢琴.", "ta1 zheng4 zai4 tan2 gang1 qin2"),
        (
            "我们的产品质量很好，数量也足够。",
            "我们的产品质量很好,数量也足够.",
            "wo3 men5 de5 chan2 pin3 zhi4 liang4 hen2 hao3 shu4 liang4 ye3 zu2 gou4",
        ),
        (
            "这家公司成立于2003年5月。",
            "这家公司成立于二零零三年五月.",
            "zhe4 jia1 gong1 si1 cheng2 li4 yu2 er4 ling2 ling2 san1 nian2 wu3 yue4",
        ),
        (
            "小猫一动不动地看着窗外的小鸟。",
            "小猫一动不动地看着窗外的小鸟.",
            "xiao3 mao1 yi2 dong4 bu2 dong4 de5 kan4 zhe5 chuang1 wai4 de5 xiao2 niao3",
        ),
        (
            "他一大早就出去了，到现在还没回来。",
            "他一大早就出去了,到现在还没回来.",
            "ta1 yi2 da4 zao3 jiu4 chu1 qu5 le5 dao4 xian4 zai4 hai2 mei2 hui2 lai5",
        ),
        (
            "二〇二二年北京举办了冬奥会。",
            "二零二二年北京举办了冬奥会.",
            "er4 ling2 er4 er4 nian2 bei3 jing1 ju3 ban4 le5 dong1 ao4 hui4",
        ),
        (
            "第11届全国运动会开幕了。",
            "第十一届全国运动会开幕了.",
            "di4 shi2 yi1 jie4 quan2 guo2 yun4 dong4 hui4 kai1 mu4 le5",
        ),
        (
            "体温38.5℃，血压120/80。",
            "体温三十八点五摄氏度,血压一百二十,八十.",
            "ti3 wen1 san1 shi2 ba1 dian2 wu3 she4 shi4 du4 xue4 ya1 yi4 bai3 er4 shi2 ba1 shi2",
        ),
        ("房间的面积是3m×4m。", "房间的面积是三米乘四米.", "fang2 jian1 de5 mian4 ji1 shi4 san1 mi3 cheng2 si4 mi3"),
        (
            "打个电话给我，号码是186-1234-5678。",
            "打个电话给我,号码是幺八六,幺二三四,五六七八.",
            "da3 ge5 dian4 hua4 gei2 wo3 hao4 ma3 shi4 yao1 ba1 liu4 yao1 er4 san1 si4 wu3 liu4 qi1 ba1",
        ),
        ("今天是周一，不是周日。", "今天是周一,不是周日.", "jin1 tian1 shi4 zhou1 yi1 bu2 shi4 zhou1 ri4"),
        ("一二三四五，上山打老虎。", "一二三四五,上山打老虎.", "yi1 er4 san1 si4 wu3 shang4 shan1 da3 lao2 hu3"),
        ("你好好想想，别着急。", "你好好想想,别着急.", "ni3 hao2 hao3 xiang2 xiang5 bie2 zhao2 ji2"),
        ("那个小女孩儿真可爱。", "那个小女孩儿真可爱.", "na4 ge5 xiao2 nv3 hai2 er2 zhen1 ke3 ai4"),
        ("小孩子不可以喝酒。", "小孩子不可以喝酒.", "xiao3 hai2 zi5 bu4 ke2 yi3 he1 jiu3"),
        ("他吃不了这么多东西。", "他吃不了这么多东西.", "ta1 chi1 bu5 liao3 zhe4 me5 duo1 dong1 xi5"),
        ("我看得见，可是够不着。", "我看得见,可是够不着.", "wo3 kan4 de5 jian4 ke3 shi4 gou4 bu5 zhao2"),
        ("应该说，他的反应很快。", "应该说,他的反应很快.", "ying1 gai1 shuo1 ta1 de5 fan3 ying4 hen3 kuai4"),
        ("这次考试我考了第一名。", "这次考试我考了第一名.", "zhe4 ci4 kao3 shi4 wo2 kao3 le5 di4 yi1 ming2"),
        (
            "一年有十二个月，一月最冷。",
            "一年有十二个月,一月最冷.",
            "yi4 nian2 you3 shi2 er4 ge5 yue4 yi1 yue4 zui4 leng3",
        ),
        ("他的成绩降到了第20名。", "他的成绩降到了第二十名.", "ta1 de5 cheng2 ji4 jiang4 dao4 le5 di4 er4 shi2 ming2"),
        ("敌人投降了。", "敌人投降了.", "di2 ren2 tou2 xiang2 le5"),
        (
            "天气预报说明天有雨，最低温度-3℃。",
            "天气预报说明天有雨,最低温度零下三摄氏度.",
            "tian1 qi4 yu4 bao4 shuo1 ming2 tian1 you2 yu3 zui4 di1 wen1 du4 ling2 xia4 san1 she4 shi4 du4",
        ),
        (
            "请用普通话朗读下面的短文。",
            "请用普通话朗读下面的短文.",
            "qing3 yong4 pu3 tong1 hua4 lang3 du2 xia4 mian4 de5 duan3 wen2",
        ),
        (
            "北京的秋天最美，香山的红叶更是有名。",
            "北京的秋天最美,香山的红叶更是有名.",
            "bei3 jing1 de5 qiu1 tian1 zui4 mei3 xiang1 shan1 de5 hong2 ye4 geng4 shi4 you3 ming2",
        ),
        (
            "为什么你总是为别人着想？",
            "为什么你总是为别人着想?",
            "wei4 shen2 me5 ni2 zong3 shi4 wei4 bie2 ren5 zhuo2 xiang3",
        ),
        ("他被选为班长。", "他被选为班长.", "ta1 bei4 xuan3 wei2 ban1 zhang3"),
        ("这条河长6300公里。", "这条河长六千三百公里.", "zhe4 tiao2 he2 chang2 liu4 qian1 san1 bai3 gong1 li3"),
        ("孩子的个子长高了不少。", "孩子的个子长高了不少.", "hai2 zi5 de5 ge4 zi5 zhang3 gao1 le5 bu4 shao3"),
        (
            "请在30分钟内完成1/2的任务。",
            "请在三十分钟内完成二分之一的任务.",
            "qing3 zai4 san1 shi2 fen1 zhong1 nei4 wan2 cheng2 er4 fen1 zhi1 yi1 de5 ren4 wu5",
        ),
        ("价格在100到200元之间。", "价格在一百到二百元之间.", "jia4 ge2 zai4 yi4 bai3 dao4 er4 bai3 yuan2 zhi1 jian1"),
        ("他的车牌是京A12345。", "他的车牌是京A一二三四五.", "ta1 de5 che1 pai2 shi4 jing1 yi1 er4 san1 si4 wu3"),
        ("人工智能正在改变世界。", "人工智能正在改变世界.", "ren2 gong1 zhi4 neng2 zheng4 zai4 gai3 bian4 shi4 jie4"),
        ("只要努力，就一定能成功。", "只要努力,就一定能成功.", "zhi3 yao4 nu3 li4 jiu4 yi2 ding4 neng2 cheng2 gong1"),
        ("我妹妹比我小两岁。", "我妹妹比我小两岁.", "wo3 mei4 mei5 bi2 wo3 xiao2 liang3 sui4"),
        ("你要是累了，就躺一躺。", "你要是累了,就躺一躺.", "ni3 yao4 shi5 lei4 le5 jiu4 tang3 yi5 tang3"),
        (
            "会议从9:30开到11:45。",
            "会议从九点半开到十一点四十五分.",
            "hui4 yi4 cong2 jiu2 dian3 ban4 kai1 dao4 shi2 yi1 dian3 si4 shi2 wu3 fen1",
        ),
        ("他的行为很不礼貌。", "他的行为很不礼貌.", "ta1 de5 xing2 wei2 hen3 bu4 li3 mao4"),
        (
            "单老师和任先生是好朋友。",
            "单老师和任先生是好朋友.",
            "shan4 lao3 shi1 he2 ren2 xian1 sheng5 shi4 hao3 peng2 you5",
        ),
        (
            "我家有五口人：爸爸、妈妈、哥哥、弟弟和我。",
            "我家有五口人,爸爸,妈妈,哥哥,弟弟和我.",
            "wo3 jia1 you3 wu2 kou3 ren2 ba4 ba5 ma1 ma5 ge1 ge5 di4 di5 he2 wo3",
        ),
        (
            "会场里坐满了人，掌声不断。",
            "会场里坐满了人,掌声不断.",
            "hui4 chang3 li5 zuo4 man3 le5 ren2 zhang3 sheng1 bu2 duan4",
        ),
        ("他每天跑步5公里。", "他每天跑步五公里.", "ta1 mei3 tian1 pao3 bu4 wu3 gong1 li3"),
        ("你能不能把窗户打开？", "你能不能把窗户打开?", "ni3 neng2 bu5 neng2 ba3 chuang1 hu5 da3 kai1"),
        ("桌子上放着两本词典。", "桌子上放着两本词典.", "zhuo1 zi5 shang5 fang4 zhe5 liang2 ben3 ci2 dian3"),
        (
            "医生建议他少吃糖，多运动。",
            "医生建议他少吃糖,多运动.",
            "yi1 sheng1 jian4 yi4 ta1 shao3 chi1 tang2 duo1 yun4 dong4",
        ),
        ("这首歌的作者是谁？", "这首歌的作者是谁?", "zhe4 shou3 ge1 de5 zuo4 zhe3 shi4 shei2"),
        ("我把钱包落在出租车上了。", "我把钱包落在出租车上了.", "wo2 ba3 qian2 bao1 la4 zai4 chu1 zu1 che1 shang5 le5"),
        ("他的病情一天比一天好。", "他的病情一天比一天好.", "ta1 de5 bing4 qing2 yi4 tian1 bi3 yi4 tian1 hao3"),
        (
            "全班50人中有48人及格，及格率为96%。",
            "全班五十人中有四十八人及格,及格率为百分之九十六.",
            "quan2 ban1 wu3 shi2 ren2 zhong1 you3 si4 shi2 ba1 ren2 "
            "ji2 ge2 ji2 ge2 lv4 wei2 bai3 fen1 zhi1 jiu3 shi2 liu4",
        ),
        (
            "昨晚的比赛，湖人队以102:98获胜。",
            "昨晚的比赛,湖人队以一百零二比九十八获胜.",
            "zuo2 wan3 de5 bi3 sai4 hu2 ren2 dui4 yi3 yi4 bai3 ling2 er4 bi2 jiu3 shi2 ba1 huo4 sheng4",
        ),
        (
            "我国第一颗人造卫星于1970年4月24日发射成功。",
            "我国第一颗人造卫星于一九七零年四月二十四日发射成功.",
            "wo3 guo2 di4 yi1 ke1 ren2 zao4 wei4 xing1 yu2 yi1 jiu3 qi1 ling2 "
            "nian2 si4 yue4 er4 shi2 si4 ri4 fa1 she4 cheng2 gong1",
        ),
        (
            "给我来一碗牛肉面，不要放辣椒。",
            "给我来一碗牛肉面,不要放辣椒.",
            "gei2 wo3 lai2 yi4 wan3 niu2 rou4 mian4 bu2 yao4 fang4 la4 jiao1",
        ),
        ("种瓜得瓜，种豆得豆。", "种瓜得瓜,种豆得豆.", "zhong4 gua1 de2 gua1 zhong4 dou4 de2 dou4"),
        ("他一连几天没睡好觉。", "他一连几天没睡好觉.", "ta1 yi4 lian2 ji3 tian1 mei2 shui4 hao3 jiao4"),
        (
            "孔子是中国古代的思想家。",
            "孔子是中国古代的思想家.",
            "kong2 zi3 shi4 zhong1 guo2 gu3 dai4 de5 si1 xiang3 jia1",
        ),
        ("请问您贵姓？我免贵姓李。", "请问您贵姓?我免贵姓李.", "qing3 wen4 nin2 gui4 xing4 wo2 mian3 gui4 xing4 li3"),
        (
            "这座桥全长1.5公里，宽32米。",
            "这座桥全长一点五公里,宽三十二米.",
            "zhe4 zuo4 qiao2 quan2 chang2 yi1 dian2 wu3 gong1 li3 kuan1 san1 shi2 er4 mi3",
        ),
        (
            "下课了，同学们都跑出去玩儿。",
            "下课了,同学们都跑出去玩儿.",
            "xia4 ke4 le5 tong2 xue2 men5 dou1 pao3 chu1 qu5 wan2 er2",
        ),
        (
            "一九四九年十月一日，新中国成立了。",
            "一九四九年十月一日,新中国成立了.",
            "yi1 jiu3 si4 jiu3 nian2 shi2 yue4 yi1 ri4 xin1 zhong1 guo2 cheng2 li4 le5",
        ),
        (
            "别看他年纪小，懂得可不少。",
            "别看他年纪小,懂得可不少.",
            "bie2 kan4 ta1 nian2 ji4 xiao3 dong3 de5 ke3 bu4 shao3",
        ),
        (
            "服务员，请给我们拿点儿纸。",
            "服务员,请给我们拿点儿纸.",
            "fu2 wu4 yuan2 qing3 gei2 wo3 men5 na2 dian2 er2 zhi3",
        ),
        (
            "他正在研究古代汉语的语音。",
            "他正在研究古代汉语的语音.",
            "ta1 zheng4 zai4 yan2 jiu1 gu3 dai4 han4 yu3 de5 yu3 yin1",
        ),
        ("这道菜又便宜又好吃。", "这道菜又便宜又好吃.", "zhe4 dao4 cai4 you4 pian2 yi5 you4 hao3 chi1"),
        (
            "汽车的速度从60km/h提高到100km/h。",
            "汽车的速度从六十公里每小时提高到一百公里每小时.",
            "qi4 che1 de5 su4 du4 cong2 liu4 shi2 gong1 li3 mei2 xiao3 "
            "shi2 ti2 gao1 dao4 yi4 bai3 gong1 li3 mei2 xiao3 shi2",
        ),
        (
            "有的人走得快，有的人走得慢。",
            "有的人走得快,有的人走得慢.",
            "you3 de5 ren2 zou3 de5 kuai4 you3 de5 ren2 zou3 de5 man4",
        ),
        (
            "我们应当尊重别人的选择。",
            "我们应当尊重别人的选择.",
            "wo3 men5 ying1 dang1 zun1 zhong4 bie2 ren5 de5 xuan3 ze2",
        ),
        ("弟弟把玻璃打碎了。", "弟弟把玻璃打碎了.", "di4 di5 ba3 bo1 li5 da3 sui4 le5"),
        ("你再不起床就要迟到了！", "你再不起床就要迟到了!", "ni3 zai4 bu4 qi3 chuang2 jiu4 yao4 chi2 dao4 le5"),
        ("她穿着一件红色的大衣。", "她穿着一件红色的大衣.", "ta1 chuan1 zhe5 yi2 jian4 hong2 se4 de5 da4 yi1"),
        ("双十一那天，商场打8折。", "双十一那天,商场打八折.", "shuang1 shi2 yi1 na4 tian1 shang1 chang2 da3 ba1 zhe2"),
        (
            "处理完这些事，他终于松了一口气。",
            "处理完这些事,他终于松了一口气.",
            "chu2 li3 wan2 zhe4 xie1 shi4 ta1 zhong1 yu2 song1 le5 yi4 kou3 qi4",
        ),
        ("他俩相处得很好。", "他俩相处得很好.", "ta1 lia3 xiang1 chu3 de5 hen2 hao3"),
        (
            "大约有三分之一的学生没有参加。",
            "大约有三分之一的学生没有参加.",
            "da4 yue1 you3 san1 fen1 zhi1 yi1 de5 xue2 sheng5 mei2 you3 can1 jia1",
        ),
        (
            "雨下得越来越大，我们只好等着。",
            "雨下得越来越大,我们只好等着.",
            "yu3 xia4 de5 yue4 lai2 yue4 da4 wo3 men5 zhi2 hao2 deng3 zhe5",
        ),
        ("把空调温度调低2度。", "把空调温度调低两度.", "ba3 kong1 tiao2 wen1 du4 tiao2 di1 liang3 du4"),
        ("你想想办法，帮帮他吧。", "你想想办法,帮帮他吧.", "ni3 xiang2 xiang5 ban4 fa3 bang1 bang5 ta1 ba5"),
        ("我差一点儿没赶上火车。", "我差一点儿没赶上火车.", "wo3 cha4 yi4 dian3 er3 mei2 gan3 shang4 huo3 che1"),
        (
            "那位老人已经95岁高龄了。",
            "那位老人已经九十五岁高龄了.",
            "na4 wei4 lao3 ren2 yi3 jing1 jiu3 shi2 wu3 sui4 gao1 ling2 le5",
        ),
    ],
}

STILL_WRONG = [
    (
        "小鸟在树上唱歌，鱼儿在水里游。",
        "小鸟在树上唱歌,鱼儿在水里游.",
        "xiao2 niao3 zai4 shu4 shang5 chang4 ge1 yu2 er2 zai4 shui3 li5 you2",
    ),
]
"""Sentences that are read wrongly: 水里游 is one word to jieba (a name), so 里 is not seen as a place."""
