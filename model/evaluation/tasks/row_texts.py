"""The texts of the rows that come with textmill, written for this project."""

POSITIVE = {
    "en": (
        "The soup was hot, the bread was fresh, and the waiter was kind to the children.",
        "I have used this lamp for a year and it still works like new.",
        "A wonderful film: I laughed, I cried, and I want to see it again.",
        "The room was clean and quiet, and the view of the lake was beautiful.",
        "Great value for the price. I bought a second one for my mother.",
        "The staff solved my problem in five minutes. Excellent service.",
        "This book taught me more than a whole year of lessons.",
        "The shoes fit perfectly and are very comfortable.",
    ),
    "zh": (
        "菜的味道很好，服务员也很热情，下次还会再来。",
        "这本书写得非常精彩，我一口气就读完了。",
        "房间干净安静，早餐丰富，推荐给大家。",
        "手机用了一年还像新的一样，非常满意。",
        "物流很快，包装也很仔细，质量比想象的还好。",
        "电影很感人，演员演得也很好，值得一看。",
        "客服耐心地帮我解决了问题，态度特别好。",
        "鞋子很合脚，穿着舒服，价格也便宜。",
    ),
}
NEGATIVE = {
    "en": (
        "The soup was cold, the bread was stale, and we waited for an hour.",
        "The lamp broke after two days and nobody answered my letters.",
        "A boring film: I fell asleep and I want my money back.",
        "The room was dirty and noisy, and the shower did not work.",
        "Terrible value. It looks cheap and it smells of plastic.",
        "The staff were rude and made the problem worse. Never again.",
        "This book is full of mistakes and a waste of time.",
        "The shoes are too small and hurt my feet.",
    ),
    "zh": (
        "菜又凉又咸，服务员态度很差，再也不来了。",
        "这本书错误太多，读起来很无聊，浪费钱。",
        "房间又脏又吵，热水也没有，非常失望。",
        "手机用了两天就坏了，质量太差。",
        "等了半个月才收到，包装破了，东西也坏了。",
        "电影很难看，我看到一半就睡着了。",
        "客服一直不回答，问题到现在也没有解决。",
        "鞋子太小，穿着很疼，还有一股难闻的味道。",
    ),
}
TOPICS = {
    "en": {
        "sports": (
            "The home team scored twice in the last ten minutes and won the match.",
            "She ran the marathon in less than three hours.",
            "The coach said that the injured player will miss the final.",
        ),
        "science": (
            "The telescope found water vapour around a distant planet.",
            "Researchers grew the crystal in a laboratory at low temperature.",
            "The new vaccine was tested on four thousand volunteers.",
        ),
        "business": (
            "The company's profit fell by a tenth because of higher prices.",
            "The bank raised its interest rate for the third time this year.",
            "Shares of the car maker rose after the merger was announced.",
        ),
        "travel": (
            "The old town has narrow streets, small hotels and a famous market.",
            "Trains to the coast leave every hour from the northern station.",
            "Bring warm clothes if you climb the mountain in spring.",
        ),
    },
    "zh": {
        "体育": (
            "主队在最后十分钟连进两球，赢得了比赛。",
            "她用不到三个小时跑完了马拉松。",
            "教练说受伤的球员将缺席决赛。",
        ),
        "科学": (
            "望远镜在一颗遥远的行星周围发现了水蒸气。",
            "研究人员在实验室的低温下培养出了晶体。",
            "新疫苗在四千名志愿者身上进行了试验。",
        ),
        "财经": (
            "由于价格上涨，公司的利润下降了一成。",
            "银行今年第三次提高了利率。",
            "宣布合并以后，汽车公司的股票上涨了。",
        ),
        "旅游": (
            "古城里有狭窄的街道、小旅馆和有名的市场。",
            "开往海边的火车每小时从北站出发。",
            "如果春天去爬山，请带上暖和的衣服。",
        ),
    },
}
PASSAGES = (
    (
        "en",
        "The mill was built in 1824 by Anna Berg. It stands beside the river Lorn and ground "
        "wheat until 1951. Today it is a museum.",
        (
            ("Who built the mill?", "Anna Berg"),
            ("What is the mill today?", "a museum"),
            ("When was the mill built?", "1824"),
        ),
    ),
    (
        "en",
        "Tea came to the island with traders from the south. The farmers plant it on the hills, "
        "where the mornings are cool, and pick it in April.",
        (
            ("When is the tea picked?", "April"),
            ("Where do the farmers plant the tea?", "on the hills"),
            ("Who brought tea to the island?", "traders"),
        ),
    ),
    (
        "zh",
        "这座水车是李大山在1903年建造的，位于清水河边。它一直用到1962年，现在是一个博物馆。",
        (
            ("水车是谁建造的？", "李大山"),
            ("水车位于哪里？", "清水河边"),
            ("水车现在是什么？", "博物馆"),
        ),
    ),
    (
        "zh",
        "小镇每年九月举行灯节。孩子们用纸做灯，晚上把灯放到湖上。第一次灯节是由一位老师发起的。",
        (
            ("灯节在几月举行？", "九月"),
            ("灯是用什么做的？", "纸"),
            ("谁发起了第一次灯节？", "一位老师"),
        ),
    ),
)
TRANSLATIONS = (
    ("Good morning.", "早上好。"),
    ("Where is the station?", "车站在哪里？"),
    ("I would like a cup of tea.", "我想要一杯茶。"),
    ("It is raining today.", "今天下雨。"),
    ("She is reading a book.", "她在看书。"),
    ("How much does it cost?", "多少钱？"),
    ("My brother works in a hospital.", "我哥哥在医院工作。"),
    ("Please open the window.", "请打开窗户。"),
    ("We will meet tomorrow.", "我们明天见面。"),
    ("The water is cold.", "水很冷。"),
    ("I do not understand.", "我不明白。"),
    ("The children are playing in the garden.", "孩子们在花园里玩。"),
    ("He speaks three languages.", "他会说三种语言。"),
    ("The shop is closed.", "商店关门了。"),
    ("Thank you for your help.", "谢谢你的帮助。"),
    ("The moon is very bright.", "月亮很亮。"),
)
SUMMARIES = (
    (
        "en",
        "The council met on Monday to talk about the old bridge. Engineers said that it is no "
        "longer safe for lorries. The council decided to close it in May and to build a new one.",
        "The council will close the unsafe old bridge in May and build a new one.",
    ),
    (
        "en",
        "Maria lost her keys on the way home. She walked back to the market and asked every "
        "seller. In the end the baker had found them under a table and gave them back.",
        "Maria lost her keys, and the baker at the market had found them.",
    ),
    (
        "en",
        "The library will open on Sundays from next month. Many readers had asked for it, because "
        "they work during the week. Two new people have been employed for the extra day.",
        "Because readers asked for it, the library will open on Sundays.",
    ),
    (
        "zh",
        "镇政府星期一开会讨论旧桥的问题。工程师说旧桥已经不能让卡车安全通过。会议决定五月关闭旧桥，"
        "并建造一座新桥。",
        "旧桥不安全，镇政府决定五月关闭并建新桥。",
    ),
    (
        "zh",
        "小丽在回家的路上丢了钥匙。她回到市场，问了每一个卖东西的人。最后面包师在桌子下面找到了钥匙，"
        "还给了她。",
        "小丽丢了钥匙，面包师帮她找到了。",
    ),
    (
        "zh",
        "从下个月起，图书馆星期天也开放。很多读者平时要上班，所以提出了这个要求。图书馆为此新招了两个人。",
        "应读者要求，图书馆下个月起星期天开放。",
    ),
)
PROGRAMS = (  # name, arguments, what it returns, checks
    ("add", "a, b", "the sum of a and b", ("(2, 3) == 5", "(-1, 1) == 0")),
    (
        "largest",
        "numbers",
        "the largest of a list of numbers",
        ("([3, 9, 2]) == 9", "([-5]) == -5"),
    ),
    ("is_even", "n", "True if n is even, else False", ("(4) is True", "(7) is False")),
    ("reverse", "text", "the text backwards", ("('abc') == 'cba'", "('') == ''")),
    (
        "count_vowels",
        "text",
        "how many of the letters a, e, i, o, u the text holds",
        ("('banana') == 3", "('xyz') == 0"),
    ),
    ("factorial", "n", "the product of 1 to n, and 1 for 0", ("(5) == 120", "(0) == 1")),
    (
        "unique",
        "items",
        "the items without repetitions, in the order of their first appearance",
        ("([1, 2, 1, 3, 2]) == [1, 2, 3]", "([]) == []"),
    ),
    (
        "square_all",
        "numbers",
        "a list of the squares of the numbers",
        ("([1, 2, 3]) == [1, 4, 9]",),
    ),
    (
        "is_palindrome",
        "text",
        "True if the text reads the same backwards, else False",
        ("('level') is True", "('mill') is False"),
    ),
    ("mean", "numbers", "the mean of a list of numbers", ("([1, 2, 3]) == 2", "([4]) == 4")),
    (
        "fibonacci",
        "n",
        "the n-th Fibonacci number, from fibonacci(0) == 0 and fibonacci(1) == 1",
        ("(10) == 55", "(1) == 1"),
    ),
    (
        "words",
        "text",
        "a list of the words of a text",
        ("('the old mill') == ['the', 'old', 'mill']",),
    ),
    (
        "clamp",
        "value, low, high",
        "the value, or the nearer bound where it lies outside",
        ("(5, 0, 3) == 3", "(-1, 0, 3) == 0", "(2, 0, 3) == 2"),
    ),
    ("flatten", "lists", "one list of all items of the lists", ("([[1], [2, 3]]) == [1, 2, 3]",)),
    ("gcd", "a, b", "the greatest common divisor of a and b", ("(12, 18) == 6", "(7, 5) == 1")),
    ("longest", "words", "the longest word of a list", ("(['a', 'mill', 'sun']) == 'mill'",)),
)

SOLUTIONS = {  # bodies, shown where programs stand before a question as solved examples
    "add": "return a + b",
    "largest": "return max(numbers)",
    "is_even": "return n % 2 == 0",
    "reverse": "return text[::-1]",
    "count_vowels": "return sum(letter in 'aeiou' for letter in text)",
    "factorial": "return 1 if n == 0 else n * factorial(n - 1)",
    "unique": "return list(dict.fromkeys(items))",
    "square_all": "return [number * number for number in numbers]",
    "is_palindrome": "return text == text[::-1]",
    "mean": "return sum(numbers) / len(numbers)",
    "fibonacci": "return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "words": "return text.split()",
    "clamp": "return max(low, min(value, high))",
    "flatten": "return [item for items in lists for item in items]",
    "gcd": "return a if b == 0 else gcd(b, a % b)",
    "longest": "return max(words, key=len)",
}
