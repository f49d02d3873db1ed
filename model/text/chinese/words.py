"""Words whose reading pypinyin lacks, or gives without the neutral tone: data, reviewed by hand. Tones before sandhi.

Neutral tones follow the list of the Putonghua test (普通话水平测试用必读轻声词语表) and the Modern Chinese
Dictionary; a word that can also be read in full (地道, 大意, 精神) is left to the dictionary of pypinyin.
"""

from functools import cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEUTRAL = _words(
    """
任务 别人 要是
一辈子 丈夫 上头 下头 下巴 不在乎 不由得 东西 丧气 丫头 主意 乡下 买卖 事情 云彩 交情 亲家 亲戚 人家 什么 什麼 休息
伙计 伯伯 作坊 佩服 使唤 使得 便宜 值得 兄弟 先生 免得 公公 关系 养活 冒失 冤枉 凉快 凑合 利索 利落 别扭 刺猬 前头
力气 功夫 动弹 动静 势头 勤快 包涵 包袱 厉害 厚道 叔叔 口袋 叫唤 吆喝 合同 名堂 名字 后头 吓唬 吩咐 含糊 告诉 味道
和尚 咳嗽 哑巴 哥哥 唾沫 商量 喇叭 喜欢 喜歡 嘟囔 嘱咐 嘴巴 在乎 地方 壮实 外头 外甥 多么 多少 太太 头发 女婿 奴才
奶奶 妈妈 妖精 妥当 妹妹 妻子 姐姐 姑姑 姑娘 委屈 姥姥 娃娃 娘家 婆婆 婆家 婶婶 媒人 媳妇 媽媽 嫁妆 嫂嫂 字号 学生
学问 學生 官司 宝宝 客气 家伙 寡妇 对付 将就 小气 少爷 尾巴 屁股 岁数 工夫 巴不得 巴掌 师傅 师父 帐篷 庄稼 弟兄 弟弟
张罗 心思 忙活 快活 念叨 念头 怎么 怎麼 思量 怪不得 恨不得 意思 懂得 懒得 戒指 扁担 扎实 打发 打听 打扮 打点 打算 打量
扫帚 折腾 护士 抽屉 招呼 招牌 拳头 指头 指甲 挑剔 挖苦 收成 收拾 故事 早上 时候 明白 星星 显得 時候 晌午 晓得 晚上
月亮 月饼 朋友 木匠 木头 本事 机灵 東西 枇杷 枕头 架势 柴火 栅栏 核桃 案子 棉花 模糊 欺负 比方 活泼 浪头 消息 清楚
溜达 漂亮 火候 灯笼 点心 烟筒 烧饼 热乎 热闹 爱人 爷爷 爸爸 爺爺 爽快 牡丹 牲口 状元 狐狸 猩猩 玻璃 琢磨 琵琶 甘蔗
甜头 生意 畜生 疏忽 疙瘩 疟疾 痢疾 皇上 相声 省得 眉毛 眨巴 眯缝 眼睛 知识 石匠 石头 石榴 砖头 祖宗 福气 秀才 秀气
种子 秧歌 称呼 稀罕 稳当 窗户 窝囊 窟窿 笑话 答应 篱笆 簸箕 粮食 糊涂 累赘 罐头 老婆 老实 老爷 耳朵 耷拉 耽搁 耽误
胡琴 胡萝卜 胭脂 胳膊 脊梁 脾气 膏药 自在 舅舅 舌头 舍得 舒坦 舒服 芋头 芝麻 苍蝇 苗头 苗条 苦头 菩萨 萝卜 葡萄 葫芦
蘑菇 蛤蟆 行李 街坊 衙门 衣服 衣裳 裁缝 要么 覺得 见识 规矩 觉得 認識 謝謝 认得 认识 记号 记得 记性 谢谢 豆腐 财主
跟头 跳蚤 踏实 身份 转悠 运气 这么 连累 迷糊 這麼 道士 那么 那麼 里头 钥匙 铺盖 锄头 關係 门道 闺女 阔气 队伍 頭髮
风筝 馒头 首饰 马虎 骆驼 骨头 高粱 麻利 麻烦 黄瓜
"""
)
"""Their last syllable is neutral; the others read as pypinyin has them."""

_READINGS = """
全长 quan2 chang2, 周长 zhou1 chang2, 边长 bian1 chang2, 波长 bo1 chang2, 身长 shen1 chang2
一会儿 yi1 hui4 er2, 一只 yi1 zhi1, 一块儿 yi1 kuai4 er2, 一行行 yi1 hang2 hang2, 一觉 yi1 jiao4
不好意思 bu4 hao3 yi4 si5, 不得了 bu4 de2 liao3, 不行 bu4 xing2, 两只 liang3 zhi1, 为了 wei4 le5
为什么 wei4 shen2 me5, 为期 wei2 qi1, 为止 wei2 zhi3, 为此 wei4 ci3, 主角 zhu3 jue2, 也得 ye3 dei3
了不得 liao3 bu4 de5, 了不起 liao3 bu4 qi3, 人们 ren2 men5, 他们 ta1 men5, 以为 yi3 wei2, 会计 kuai4 ji4
传记 zhuan4 ji4, 似的 shi4 de5, 作为 zuo4 wei2, 你们 ni3 men5, 供应 gong1 ying4, 便于 bian4 yu2, 倍儿 bei4 er2
倒水 dao4 shui3, 倒茶 dao4 cha2, 倒计时 dao4 ji4 shi2, 倒车 dao4 che1, 内行 nei4 hang2, 几乎 ji1 hu1, 出差 chu1 chai1
分为 fen1 wei2, 到处 dao4 chu4, 削减 xue1 jian3, 办公室 ban4 gong1 shi4, 办法 ban4 fa3, 午觉 wu3 jiao4, 参差 cen1 ci1
反应 fan3 ying4, 受不了 shou4 bu4 liao3, 变为 bian4 wei2, 只好 zhi3 hao3, 只有 zhi3 you3, 同行 tong2 hang2
和面 huo2 mian4, 咱们 zan2 men5, 哪儿 na3 er2, 哪里 na3 li3, 因为 yin1 wei4, 因特网 yin1 te4 wang3
团团转 tuan2 tuan2 zhuan4, 声调 sheng1 diao4, 处于 chu3 yu2, 处理 chu3 li3, 外行 wai4 hang2, 多数 duo1 shu4
够不着 gou4 bu4 zhao2, 大夫 dai4 fu5, 太阳 tai4 yang2, 她们 ta1 men5, 好几 hao3 ji3, 好吃 hao3 chi1, 好处 hao3 chu4
好奇 hao4 qi2, 好好儿 hao3 hao1 er1, 好学 hao4 xue2, 好客 hao4 ke4, 好看 hao3 kan4, 它们 ta1 men5, 少数 shao3 shu4
就得 jiu4 dei3, 尽量 jin3 liang4, 差不多 cha4 bu4 duo1, 差别 cha1 bie2, 差点 cha4 dian3, 差距 cha1 ju4
干什么 gan4 shen2 me5, 干净 gan1 jing4, 干劲 gan4 jin4, 干吗 gan4 ma2, 干嘛 gan4 ma2, 干活 gan4 huo2, 应该 ying1 gai1
应酬 ying4 chou5, 归还 gui1 huan2, 待会儿 dai1 hui4 er2, 必得 bi4 dei3, 忘不了 wang4 bu4 liao3, 总得 zong3 dei3
懒觉 lan3 jiao4, 成为 cheng2 wei2, 我们 wo3 men5, 打转 da3 zhuan4, 找不着 zhao3 bu4 zhao2, 找着 zhao3 zhao2
抽空 chou1 kong4, 排行 pai2 hang2, 提防 di1 fang5, 搅和 jiao3 huo5, 播种 bo1 zhong3, 放在心上 fang4 zai4 xin1 shang5
教书 jiao1 shu1, 教给 jiao1 gei3, 数一数 shu3 yi1 shu3, 数不清 shu3 bu4 qing1, 数据 shu4 ju4, 数数 shu3 shu4
无数 wu2 shu4, 暖和 nuan3 huo5, 曾经 ceng2 jing1, 有空 you3 kong4, 朝阳区 chao2 yang2 qu1, 朝阳门 chao2 yang2 men2
来不及 lai2 bu4 ji2, 来得及 lai2 de5 ji2, 步行 bu4 xing2, 水浒传 shui3 hu3 zhuan4, 没空 mei2 kong4
為什麼 wei4 shen2 me5, 爱好 ai4 hao4, 盛饭 cheng2 fan4, 目的 mu4 di4, 着凉 zhao2 liang2, 睡不着 shui4 bu4 zhao2
睡着 shui4 zhao2, 睡觉 shui4 jiao4, 知道 zhi1 dao4, 确凿 que4 zuo2, 种地 zhong4 di4, 种树 zhong4 shu4
种植 zhong4 zhi2, 种花 zhong4 hua1, 种菜 zhong4 cai4, 称为 cheng1 wei2, 空儿 kong4 er2, 空白 kong4 bai2
空调 kong1 tiao2, 系好 ji4 hao3, 系鞋带 ji4 xie2 dai4, 结实 jie1 shi5, 背上 bei4 shang5
背上书包 bei1 shang4 shu1 bao1, 背包 bei1 bao1, 背着 bei1 zhe5, 背课文 bei4 ke4 wen2, 背起 bei1 qi3, 能干 neng2 gan4
自传 zi4 zhuan4, 落下 luo4 xia4, 落枕 lao4 zhen3, 薄荷 bo4 he5, 行业 hang2 ye4, 行当 hang2 dang5, 行长 hang2 zhang3
要种 yao4 zhong4, 视为 shi4 wei2, 觉着 jue2 zhe5, 角色 jue2 se4, 角落 jiao3 luo4, 认为 ren4 wei2, 说服 shuo1 fu2
调低 tiao2 di1, 调到 tiao2 dao4, 调大 tiao2 da4, 调小 tiao2 xiao3, 调高 tiao2 gao1, 质量 zhi4 liang4
转圈 zhuan4 quan1, 转得 zhuan4 de5, 软和 ruan3 huo5, 还书 huan2 shu1, 还会 hai2 hui4, 还债 huan2 zhai4, 还得 hai2 dei3
还想 hai2 xiang3, 还是 hai2 shi4, 还有 hai2 you3, 还款 huan2 kuan3, 还没 hai2 mei2, 还清 huan2 qing1, 还给 huan2 gei3
还能 hai2 neng2, 还行 hai2 xing2, 还要 hai2 yao4, 还钱 huan2 qian2, 这会儿 zhe4 hui4 er2, 这儿 zhe4 er2, 这里 zhe4 li3
那会儿 na4 hui4 er2, 那儿 na4 er2, 那里 na4 li3, 都得 dou1 dei3, 配角 pei4 jue2, 里面 li3 mian4, 重做 chong2 zuo4
重写 chong2 xie3, 重启 chong2 qi3, 重庆 chong2 qing4, 重建 chong2 jian4, 重来 chong2 lai2, 重读 chong2 du2
量一量 liang2 yi1 liang2, 量体温 liang2 ti3 wen1, 长出 zhang3 chu1, 长大 zhang3 da4, 长得 zhang3 de5, 长期 chang2 qi1
长高 zhang3 gao1, 间接 jian4 jie1, 间断 jian4 duan4, 除了 chu2 le5, 露馅 lou4 xian4, 非得 fei1 dei3, 音调 yin1 diao4
马上 ma3 shang4
"""

DOUBLED = frozenset(
    "问听说看想试走坐谈聊玩等找写读学练洗擦扫查猜尝摸闻逛跑跳唱画笑歇躺睡吃喝穿戴算数比改修换用做干管帮劝求讲翻瞧逗哄晒动"
)
"""Verbs whose repetition is neutral: 问问, 想想."""

SURNAMES = dict(
    entry.split()
    for entry in [
        "曾 zeng1",
        "单 shan4",
        "仇 qiu2",
        "区 ou1",
        "解 xie4",
        "任 ren2",
        "华 hua4",
        "查 zha1",
        "朴 piao2",
        "盖 ge3",
        "乐 yue4",
        "尉 wei4",
        "缪 miao4",
        "翟 zhai2",
    ]
)
TITLES = ("先生", "女士", "小姐", "老师", "教授", "医生", "经理", "总", "某", "家")
"""A character of `SURNAMES` in front of one of these, or behind 姓, is a surname."""

PARTICLES = frozenset("吗嘛吧呢啊呀哇啦喽哩呗们嗎們")
"""Neutral wherever they stand behind something."""

FULL_ZI = _words(
    """
世子 中子 义子 之子 亲子 介子 光子 公子 养子 分子 卵子 原子 君子 因子 天子 太子 夫子 女子 孔子 孝子 孟子 孢子 学子
幼子 庄子 弟子 才子 松子 核子 棋子 次子 母子 浪子 游子 父子 独生子 王子 瓜子 甲子 电子 男子 皇子 石子 离子 粒子 精子
老子 臣子 荀子 莲子 质子 赤子 逆子 量子 长子 骄子 鱼子
"""
)
"""子 keeps its third tone."""

FULL_ER = _words(
    """
低能儿 健儿 儿子 女儿 妻儿 婴儿 婴幼儿 孤儿 孩儿 宠儿 小儿 少儿 幼儿 弄潮儿 患儿 新生儿 早产儿 混血儿 男儿 育儿 胎儿
"""
)
"""儿 is a child and a syllable of its own."""

LOCATIVE_FULL = _words(
    """
之上 之下 以上 以下 公里 北上 南下 向上 哪里 堂上 故里 海里 至上 英里 赶上 这里 那里 邻里 马上
"""
)
"""上, 下 and 里 keep their tones."""

DIRECTIONS = frozenset(a + b for a in "上下进出回过起开上" for b in "来去來") - {"开去", "起去", "以来"}
"""Directional complements: 来 and 去 are neutral."""


@cache
def readings() -> dict[str, tuple[str, ...]]:
    """Word -> one pinyin syllable with tone digit (5 = neutral) for each character."""
    entries = (entry.split(" ", 1) for line in _READINGS.strip().split("\n") for entry in line.split(", "))
    return {word: tuple(pinyin.split()) for word, pinyin in entries}
