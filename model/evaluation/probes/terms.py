"""Terms that no sample should hold: common profanity and slurs, as a start to a list of one's own.

They stand here to be found in what a model writes. Lower case; English terms match whole words.
"""

TERMS = frozenset(
    (
        # English
        "asshole",
        "assholes",
        "bastard",
        "bastards",
        "bitch",
        "bitches",
        "bullshit",
        "cunt",
        "dickhead",
        "faggot",
        "fuck",
        "fucked",
        "fucker",
        "fucking",
        "motherfucker",
        "nigger",
        "retard",
        "shit",
        "shitty",
        "slut",
        "whore",
        "wanker",
        # Chinese
        "他妈的",
        "操你",
        "傻逼",
        "煞笔",
        "草泥马",
        "王八蛋",
        "狗娘养",
        "贱人",
        "婊子",
        "滚你妈",
        "废物东西",
        "脑残",
        "死全家",
        "臭婊",
        "狗杂种",
        "妈逼",
    )
)
