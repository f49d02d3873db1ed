"""English sentences of every hard kind with what a speaker of American English says, written out by hand.

One case: the text, its normal form, and its phones, ` / ` between words. Phones are those of CMUdict's first reading,
by part of speech where a spelling has two; of a word that CMUdict lacks, those of General American.
In the normal form letters that are named one by one are single capitals; all else is lower case, the pronoun I aside.

Where English leaves a choice, these hold: no "and" inside numbers; years in pairs; `the` is DH AH0 and `a` AH0 whatever
follows; month before day in dates written with slashes; a zero in telephone numbers and in minutes is "oh"; the plural
and possessive of a hiss is IH0 Z where CMUdict does not have the form.
"""

SENTENCES: dict[str, list[tuple[str, str, str]]] = {
    "numbers": [
        ("We sold 42 cars.", "we sold forty two cars.", "W IY1 / S OW1 L D / F AO1 R T IY0 / T UW1 / K AA1 R Z / ."),
        (
            "It has 1,234 pages.",
            "it has one thousand two hundred thirty four pages.",
            "IH1 T / HH AE1 Z / W AH1 N / TH AW1 Z AH0 N D / T UW1 / HH AH1 N D R AH0 D / TH ER1 D IY2 / F AO1 R / "
            "P EY1 JH AH0 Z / .",
        ),
        (
            "Over 3,000,000 people live here.",
            "over three million people live here.",
            "OW1 V ER0 / TH R IY1 / M IH1 L Y AH0 N / P IY1 P AH0 L / L IH1 V / HH IY1 R / .",
        ),
        (
            "Pi is about 3.14159.",
            "pi is about three point one four one five nine.",
            "P AY1 / IH1 Z / AH0 B AW1 T / TH R IY1 / P OY1 N T / W AH1 N / F AO1 R / W AH1 N / F AY1 V / N AY1 N / .",
        ),
        ("He came in 3rd.", "he came in third.", "HH IY1 / K EY1 M / IH0 N / TH ER1 D / ."),
        (
            "This is the 21st floor.",
            "this is the twenty first floor.",
            "DH IH1 S / IH1 Z / DH AH0 / T W EH1 N T IY0 / F ER1 S T / F L AO1 R / .",
        ),
        (
            "It fell to -15 last night.",
            "it fell to minus fifteen last night.",
            "IH1 T / F EH1 L / T UW1 / M AY1 N AH0 S / F IH0 F T IY1 N / L AE1 S T / N AY1 T / .",
        ),
        (
            "Read pages 10-12.",
            "read pages ten to twelve.",
            "R IY1 D / P EY1 JH AH0 Z / T EH1 N / T UW1 / T W EH1 L V / .",
        ),
        (
            "Agent 007 is back.",
            "agent zero zero seven is back.",
            "EY1 JH AH0 N T / Z IH1 R OW0 / Z IH1 R OW0 / S EH1 V AH0 N / IH1 Z / B AE1 K / .",
        ),
        (
            "Only 0.05 grams remain.",
            "only zero point zero five grams remain.",
            "OW1 N L IY0 / Z IH1 R OW0 / P OY1 N T / Z IH1 R OW0 / F AY1 V / G R AE1 M Z / R IH0 M EY1 N / .",
        ),
    ],
    "dates and times": [
        (
            "She was born in 1984.",
            "she was born in nineteen eighty four.",
            "SH IY1 / W AA1 Z / B AO1 R N / IH0 N / N AY1 N T IY1 N / EY1 T IY0 / F AO1 R / .",
        ),
        (
            "The war ended in 1905.",
            "the war ended in nineteen oh five.",
            "DH AH0 / W AO1 R / EH1 N D AH0 D / IH0 N / N AY1 N T IY1 N / OW1 / F AY1 V / .",
        ),
        (
            "By 2005 we had 2000 users.",
            "by two thousand five we had two thousand users.",
            "B AY1 / T UW1 / TH AW1 Z AH0 N D / F AY1 V / W IY1 / HH AE1 D / T UW1 / TH AW1 Z AH0 N D / "
            "Y UW1 Z ER0 Z / .",
        ),
        (
            "They met on March 15, 2024.",
            "they met on march fifteenth, twenty twenty four.",
            "DH EY1 / M EH1 T / AA1 N / M AA1 R CH / F IH0 F T IY1 N TH / , / T W EH1 N T IY0 / T W EH1 N T IY0 / "
            "F AO1 R / .",
        ),
        (
            "It is due 07/04/2021.",
            "it is due july fourth, twenty twenty one.",
            "IH1 T / IH1 Z / D UW1 / JH UW2 L AY1 / F AO1 R TH / , / T W EH1 N T IY0 / T W EH1 N T IY0 / W AH1 N / .",
        ),
        (
            "The file is dated 2023-11-02.",
            "the file is dated november second, twenty twenty three.",
            "DH AH0 / F AY1 L / IH1 Z / D EY1 T IH0 D / N OW0 V EH1 M B ER0 / S EH1 K AH0 N D / , / T W EH1 N T IY0 / "
            "T W EH1 N T IY0 / TH R IY1 / .",
        ),
        (
            "Music of the 1990s is back.",
            "music of the nineteen nineties is back.",
            "M Y UW1 Z IH0 K / AH1 V / DH AH0 / N AY1 N T IY1 N / N AY1 N T IY0 Z / IH1 Z / B AE1 K / .",
        ),
        (
            "The train leaves at 3:45 pm.",
            "the train leaves at three forty five P M.",
            "DH AH0 / T R EY1 N / L IY1 V Z / AE1 T / TH R IY1 / F AO1 R T IY0 / F AY1 V / P IY1 / EH1 M / .",
        ),
        (
            "We open at 9:00 and close at 10:05.",
            "we open at nine o'clock and close at ten oh five.",
            "W IY1 / OW1 P AH0 N / AE1 T / N AY1 N / AH0 K L AA1 K / AH0 N D / K L OW1 Z / AE1 T / T EH1 N / OW1 / "
            "F AY1 V / .",
        ),
        (
            "Call me at 7 a.m. on Fri., Aug. 9.",
            "call me at seven A M on friday, august ninth.",
            "K AO1 L / M IY1 / AE1 T / S EH1 V AH0 N / EY1 / EH1 M / AA1 N / F R AY1 D IY0 / , / AA1 G AH0 S T / "
            "N AY1 N TH / .",
        ),
    ],
    "money": [
        (
            "Lunch was $12.50.",
            "lunch was twelve dollars and fifty cents.",
            "L AH1 N CH / W AA1 Z / T W EH1 L V / D AA1 L ER0 Z / AH0 N D / F IH1 F T IY0 / S EH1 N T S / .",
        ),
        ("It costs $1.", "it costs one dollar.", "IH1 T / K AA1 S T S / W AH1 N / D AA1 L ER0 / ."),
        (
            "They raised $2.5 million.",
            "they raised two point five million dollars.",
            "DH EY1 / R EY1 Z D / T UW1 / P OY1 N T / F AY1 V / M IH1 L Y AH0 N / D AA1 L ER0 Z / .",
        ),
        (
            "A ticket is £20.",
            "a ticket is twenty pounds.",
            "AH0 / T IH1 K AH0 T / IH1 Z / T W EH1 N T IY0 / P AW1 N D Z / .",
        ),
        (
            "Tea costs £3.50 here.",
            "tea costs three pounds and fifty pence here.",
            "T IY1 / K AA1 S T S / TH R IY1 / P AW1 N D Z / AH0 N D / F IH1 F T IY0 / P EH1 N S / HH IY1 R / .",
        ),
        (
            "The rent is €1,200 a month.",
            "the rent is one thousand two hundred euros a month.",
            "DH AH0 / R EH1 N T / IH1 Z / W AH1 N / TH AW1 Z AH0 N D / T UW1 / HH AH1 N D R AH0 D / Y UW1 R OW2 Z / "
            "AH0 / M AH1 N TH / .",
        ),
        (
            "Apps for $0.99 sell well.",
            "apps for ninety nine cents sell well.",
            "AE1 P S / F AO1 R / N AY1 N T IY0 / N AY1 N / S EH1 N T S / S EH1 L / W EH1 L / .",
        ),
        (
            "Profit rose to $3bn.",
            "profit rose to three billion dollars.",
            "P R AA1 F AH0 T / R OW1 Z / T UW1 / TH R IY1 / B IH1 L Y AH0 N / D AA1 L ER0 Z / .",
        ),
    ],
    "telephone numbers": [
        (
            "Call 555-1234.",
            "call five five five, one two three four.",
            "K AO1 L / F AY1 V / F AY1 V / F AY1 V / , / W AH1 N / T UW1 / TH R IY1 / F AO1 R / .",
        ),
        (
            "My number is (212) 555-0187.",
            "my number is two one two, five five five, oh one eight seven.",
            "M AY1 / N AH1 M B ER0 / IH1 Z / T UW1 / W AH1 N / T UW1 / , / F AY1 V / F AY1 V / F AY1 V / , / OW1 / "
            "W AH1 N / EY1 T / S EH1 V AH0 N / .",
        ),
        (
            "Dial +44 20 7946 0958 now.",
            "dial plus four four, two oh, seven nine four six, oh nine five eight now.",
            "D AY1 AH0 L / P L AH1 S / F AO1 R / F AO1 R / , / T UW1 / OW1 / , / S EH1 V AH0 N / N AY1 N / F AO1 R / "
            "S IH1 K S / , / OW1 / N AY1 N / F AY1 V / EY1 T / N AW1 / .",
        ),
        (
            "In an emergency call 911.",
            "in an emergency call nine one one.",
            "IH0 N / AE1 N / IH0 M ER1 JH AH0 N S IY0 / K AO1 L / N AY1 N / W AH1 N / W AH1 N / .",
        ),
    ],
    "percent, fractions, units": [
        (
            "Prices rose 3.5%.",
            "prices rose three point five percent.",
            "P R AY1 S AH0 Z / R OW1 Z / TH R IY1 / P OY1 N T / F AY1 V / P ER0 S EH1 N T / .",
        ),
        (
            "Add 3/4 cup of milk.",
            "add three quarters cup of milk.",
            "AE1 D / TH R IY1 / K W AO1 R T ER0 Z / K AH1 P / AH1 V / M IH1 L K / .",
        ),
        (
            "It took 2 1/2 hours.",
            "it took two and a half hours.",
            "IH1 T / T UH1 K / T UW1 / AH0 N D / AH0 / HH AE1 F / AW1 ER0 Z / .",
        ),
        (
            "About 5/8 of them left.",
            "about five eighths of them left.",
            "AH0 B AW1 T / F AY1 V / EY1 T TH S / AH1 V / DH EH1 M / L EH1 F T / .",
        ),
        (
            "The bag weighs 1 kg.",
            "the bag weighs one kilogram.",
            "DH AH0 / B AE1 G / W EY1 Z / W AH1 N / K IH1 L AH0 G R AE2 M / .",
        ),
        (
            "He ran 10 km at 12 km/h.",
            "he ran ten kilometers at twelve kilometers per hour.",
            "HH IY1 / R AE1 N / T EH1 N / K AH0 L AA1 M AH2 T ER0 Z / AE1 T / T W EH1 L V / "
            "K AH0 L AA1 M AH2 T ER0 Z / P ER1 / AW1 ER0 / .",
        ),
        (
            "It is 20°C outside.",
            "it is twenty degrees celsius outside.",
            "IH1 T / IH1 Z / T W EH1 N T IY0 / D IH0 G R IY1 Z / S EH1 L S IY0 AH0 S / AW1 T S AY1 D / .",
        ),
        (
            "The chip runs at 2.4 GHz with 16 GB.",
            "the chip runs at two point four gigahertz with sixteen gigabytes.",
            "DH AH0 / CH IH1 P / R AH1 N Z / AE1 T / T UW1 / P OY1 N T / F AO1 R / G IH1 G AH0 HH ER2 T S / W IH1 DH / "
            "S IH0 K S T IY1 N / G IH1 G AH0 B AY2 T S / .",
        ),
    ],
    "abbreviations": [
        (
            "Mr. and Mrs. Brown left.",
            "mister and missus brown left.",
            "M IH1 S T ER0 / AH0 N D / M IH1 S IH0 Z / B R AW1 N / L EH1 F T / .",
        ),
        (
            "Dr. Smith lives on Elm Dr. now.",
            "doctor smith lives on elm drive now.",
            "D AA1 K T ER0 / S M IH1 TH / L IH1 V Z / AA1 N / EH1 L M / D R AY1 V / N AW1 / .",
        ),
        (
            "St. Paul's church is on Main St.",
            "saint paul's church is on main street.",
            "S EY1 N T / P AO1 L Z / CH ER1 CH / IH1 Z / AA1 N / M EY1 N / S T R IY1 T / .",
        ),
        (
            "Bring fruit, e.g. apples, pears, etc.",
            "bring fruit, for example apples, pears, et cetera.",
            "B R IH1 NG / F R UW1 T / , / F AO1 R / IH0 G Z AE1 M P AH0 L / AE1 P AH0 L Z / , / P EH1 R Z / , / "
            "EH1 T / S EH1 T ER0 AH0 / .",
        ),
        (
            "The last day, i.e. Sunday, is free.",
            "the last day, that is sunday, is free.",
            "DH AH0 / L AE1 S T / D EY1 / , / DH AE1 T / IH1 Z / S AH1 N D EY2 / , / IH1 Z / F R IY1 / .",
        ),
        (
            "Prof. Lee met Gen. Grant.",
            "professor lee met general grant.",
            "P R AH0 F EH1 S ER0 / L IY1 / M EH1 T / JH EH1 N ER0 AH0 L / G R AE1 N T / .",
        ),
        (
            "Chapter No. 5 is short.",
            "chapter number five is short.",
            "CH AE1 P T ER0 / N AH1 M B ER0 / F AY1 V / IH1 Z / SH AO1 R T / .",
        ),
        (
            "Ali vs. Frazier was great!",
            "ali versus frazier was great!",
            "AA1 L IY0 / V ER1 S AH0 S / F R EY1 ZH ER0 / W AA1 Z / G R EY1 T / !",
        ),
        (
            "King Henry VIII had six wives.",
            "king henry the eighth had six wives.",
            "K IH1 NG / HH EH1 N R IY0 / DH AH0 / EY1 T TH / HH AE1 D / S IH1 K S / W AY1 V Z / .",
        ),
        (
            "World War II ended.",
            "world war two ended.",
            "W ER1 L D / W AO1 R / T UW1 / EH1 N D AH0 D / .",
        ),
    ],
    "acronyms": [
        (
            "The FBI called.",
            "the F B I called.",
            "DH AH0 / EH1 F / B IY1 / AY1 / K AO1 L D / .",
        ),
        (
            "NASA and NATO agree.",
            "nasa and nato agree.",
            "N AE1 S AH0 / AH0 N D / N EY1 T OW0 / AH0 G R IY1 / .",
        ),
        (
            "The U.S. team won.",
            "the U S team won.",
            "DH AH0 / Y UW1 / EH1 S / T IY1 M / W AH1 N / .",
        ),
        (
            "Tell us about AI and IT.",
            "tell us about A I and I T.",
            "T EH1 L / AH1 S / AH0 B AW1 T / EY1 / AY1 / AH0 N D / AY1 / T IY1 / .",
        ),
        (
            "Two PhDs wrote HTML.",
            "two P H D's wrote H T M L.",
            "T UW1 / P IY1 / EY1 CH / D IY1 Z / R OW1 T / EY1 CH / T IY1 / EH1 M / EH1 L / .",
        ),
        (
            "Play the MP3 on your iPhone.",
            "play the M P three on your I phone.",
            "P L EY1 / DH AH0 / EH1 M / P IY1 / TH R IY1 / AA1 N / Y AO1 R / AY1 / F OW1 N / .",
        ),
        (
            "The CEO's plan failed.",
            "the C E O's plan failed.",
            "DH AH0 / S IY1 / IY1 / OW1 Z / P L AE1 N / F EY1 L D / .",
        ),
        (
            "I am NOT going!",
            "I am not going!",
            "AY1 / AE1 M / N AA1 T / G OW1 IH0 NG / !",
        ),
        (
            "COVID-19 changed the UK.",
            "covid nineteen changed the U K.",
            "K OW1 V IH0 D / N AY1 N T IY1 N / CH EY1 N JH D / DH AH0 / Y UW1 / K EY1 / .",
        ),
    ],
    "homographs": [
        (
            "I read the book yesterday.",
            "I read the book yesterday.",
            "AY1 / R EH1 D / DH AH0 / B UH1 K / Y EH1 S T ER0 D EY2 / .",
        ),
        (
            "I want to read it.",
            "I want to read it.",
            "AY1 / W AA1 N T / T UW1 / R IY1 D / IH1 T / .",
        ),
        (
            "She will record a new record.",
            "she will record a new record.",
            "SH IY1 / W IH1 L / R IH0 K AO1 R D / AH0 / N UW1 / R EH1 K ER0 D / .",
        ),
        (
            "The lead pipe will lead to trouble.",
            "the lead pipe will lead to trouble.",
            "DH AH0 / L EH1 D / P AY1 P / W IH1 L / L IY1 D / T UW1 / T R AH1 B AH0 L / .",
        ),
        (
            "They live near a live stage.",
            "they live near a live stage.",
            "DH EY1 / L IH1 V / N IH1 R / AH0 / L AY1 V / S T EY1 JH / .",
        ),
        (
            "Close the door and stay close.",
            "close the door and stay close.",
            "K L OW1 Z / DH AH0 / D AO1 R / AH0 N D / S T EY1 / K L OW1 S / .",
        ),
        (
            "We use it because it has a use.",
            "we use it because it has a use.",
            "W IY1 / Y UW1 Z / IH1 T / B IH0 K AO1 Z / IH1 T / HH AE1 Z / AH0 / Y UW1 S / .",
        ),
        (
            "Please present the present.",
            "please present the present.",
            "P L IY1 Z / P R IY0 Z EH1 N T / DH AH0 / P R EH1 Z AH0 N T / .",
        ),
        (
            "I object to that object.",
            "I object to that object.",
            "AY1 / AH0 B JH EH1 K T / T UW1 / DH AE1 T / AA1 B JH EH0 K T / .",
        ),
        (
            "The wind blew as I began to wind the clock.",
            "the wind blew as I began to wind the clock.",
            "DH AH0 / W IH1 N D / B L UW1 / AE1 Z / AY1 / B IH0 G AE1 N / T UW1 / W AY1 N D / DH AH0 / K L AA1 K / .",
        ),
        (
            "He shed a tear; did you tear it?",
            "he shed a tear, did you tear it?",
            "HH IY1 / SH EH1 D / AH0 / T IH1 R / , / D IH1 D / Y UW1 / T EH1 R / IH1 T / ?",
        ),
        (
            "A minute is a long time.",
            "a minute is a long time.",
            "AH0 / M IH1 N AH0 T / IH1 Z / AH0 / L AO1 NG / T AY1 M / .",
        ),
        (
            "Do not desert us in the desert.",
            "do not desert us in the desert.",
            "D UW1 / N AA1 T / D IH0 Z ER1 T / AH1 S / IH0 N / DH AH0 / D EH1 Z ER0 T / .",
        ),
        (
            "They estimate the cost from an estimate.",
            "they estimate the cost from an estimate.",
            "DH EY1 / EH1 S T AH0 M EY2 T / DH AH0 / K AA1 S T / F R AH1 M / AE1 N / EH1 S T AH0 M AH0 T / .",
        ),
        (
            "Keep them separate.",
            "keep them separate.",
            "K IY1 P / DH EH1 M / S EH1 P ER0 IH0 T / .",
        ),
        (
            "We produce fresh produce.",
            "we produce fresh produce.",
            "W IY1 / P R AH0 D UW1 S / F R EH1 SH / P R OW1 D UW0 S / .",
        ),
        (
            "The nurse wound a bandage around the wound.",
            "the nurse wound a bandage around the wound.",
            "DH AH0 / N ER1 S / W AW1 N D / AH0 / B AE1 N D IH0 JH / ER0 AW1 N D / DH AH0 / W UW1 N D / .",
        ),
        (
            "I refuse to increase the rent.",
            "I refuse to increase the rent.",
            "AY1 / R IH0 F Y UW1 Z / T UW1 / IH2 N K R IY1 S / DH AH0 / R EH1 N T / .",
        ),
    ],
    "possessives and plurals": [
        (
            "The dog's bowl is James's.",
            "the dog's bowl is james's.",
            "DH AH0 / D AO1 G Z / B OW1 L / IH1 Z / JH EY1 M Z IH0 Z / .",
        ),
        (
            "My parents' house is old.",
            "my parents' house is old.",
            "M AY1 / P EH1 R AH0 N T S / HH AW1 S / IH1 Z / OW1 L D / .",
        ),
        (
            "The cat's toys broke.",
            "the cat's toys broke.",
            "DH AH0 / K AE1 T S / T OY1 Z / B R OW1 K / .",
        ),
        (
            "The fox's den was empty.",
            "the fox's den was empty.",
            "DH AH0 / F AA1 K S AH0 Z / D EH1 N / W AA1 Z / EH1 M P T IY0 / .",
        ),
        (
            "Children's books sell.",
            "children's books sell.",
            "CH IH1 L D R AH0 N Z / B UH1 K S / S EH1 L / .",
        ),
        (
            "Mind your p's and q's.",
            "mind your P's and Q's.",
            "M AY1 N D / Y AO1 R / P IY1 Z / AH0 N D / K Y UW1 Z / .",
        ),
    ],
    "contractions": [
        (
            "Don't you think it's late?",
            "don't you think it's late?",
            "D OW1 N T / Y UW1 / TH IH1 NG K / IH1 T S / L EY1 T / ?",
        ),
        (
            "We've said they're right.",
            "we've said they're right.",
            "W IY1 V / S EH1 D / DH EH1 R / R AY1 T / .",
        ),
        (
            "I’m sure you'll win.",
            "I'm sure you'll win.",
            "AY1 M / SH UH1 R / Y UW1 L / W IH1 N / .",
        ),
        (
            "She couldn't, wouldn't and won't.",
            "she couldn't, wouldn't and won't.",
            "SH IY1 / K UH1 D AH0 N T / , / W UH1 D AH0 N T / AH0 N D / W OW1 N T / .",
        ),
        (
            "Let's see who's there.",
            "let's see who's there.",
            "L EH1 T S / S IY1 / HH UW1 Z / DH EH1 R / .",
        ),
        (
            "They should've gone.",
            "they should've gone.",
            "DH EY1 / SH UH1 D AH0 V / G AO1 N / .",
        ),
    ],
    "unknown words": [
        (
            "The blockchain failed.",
            "the blockchain failed.",
            "DH AH0 / B L AA1 K CH EY1 N / F EY1 L D / .",
        ),
        (
            "He took a selfie.",
            "he took a selfie.",
            "HH IY1 / T UH1 K / AH0 / S EH1 L F IY2 / .",
        ),
        (
            "She googled two podcasts.",
            "she googled two podcasts.",
            "SH IY1 / G UW1 G AH0 L D / T UW1 / P AO1 D K AE2 S T S / .",
        ),
        (
            "The glorp sat down.",
            "the glorp sat down.",
            "DH AH0 / G L AO1 R P / S AE1 T / D AW1 N / .",
        ),
        (
            "We were vlogging.",
            "we were vlogging.",
            "W IY1 / W ER1 / V L AA1 G IH0 NG / .",
        ),
        (
            "The startup's crowdfunding worked.",
            "the startup's crowdfunding worked.",
            "DH AH0 / S T AA1 R T AH2 P S / K R AW1 D F AH2 N D IH0 NG / W ER1 K T / .",
        ),
        (
            "Brindlewood is unfindable.",
            "brindlewood is unfindable.",
            "B R IH1 N D AH0 L W UH2 D / IH1 Z / AH0 N F AY1 N D AH0 B AH0 L / .",
        ),
        (
            "A naïve café owner smiled.",
            "a naive cafe owner smiled.",
            "AH0 / N AY2 IY1 V / K AH0 F EY1 / OW1 N ER0 / S M AY1 L D / .",
        ),
    ],
    "addresses and signs": [
        (
            "Visit www.example.com today.",
            "visit W W W dot example dot com today.",
            "V IH1 Z IH0 T / D AH1 B AH0 L Y UW0 / D AH1 B AH0 L Y UW0 / D AH1 B AH0 L Y UW0 / D AA1 T / "
            "IH0 G Z AE1 M P AH0 L / D AA1 T / K AA1 M / T AH0 D EY1 / .",
        ),
        (
            "Write to john.smith@mail.org.",
            "write to john dot smith at mail dot org.",
            "R AY1 T / T UW1 / JH AA1 N / D AA1 T / S M IH1 TH / AE1 T / M EY1 L / D AA1 T / AO1 R G / .",
        ),
        (
            "Johnson & Johnson is #1.",
            "johnson and johnson is number one.",
            "JH AA1 N S AH0 N / AH0 N D / JH AA1 N S AH0 N / IH1 Z / N AH1 M B ER0 / W AH1 N / .",
        ),
        (
            "2 + 2 = 4.",
            "two plus two equals four.",
            "T UW1 / P L AH1 S / T UW1 / IY1 K W AH0 L Z / F AO1 R / .",
        ),
        (
            "She writes C++ 24/7.",
            "she writes C plus plus twenty four seven.",
            "SH IY1 / R AY1 T S / S IY1 / P L AH1 S / P L AH1 S / T W EH1 N T IY0 / F AO1 R / S EH1 V AH0 N / .",
        ),
        (
            "“Wait…” he said — then left.",
            "wait… he said - then left.",
            "W EY1 T / … / HH IY1 / S EH1 D / - / DH EH1 N / L EH1 F T / .",
        ),
        (
            "Her well-known band (from Leeds) won!!!",
            "her well known band, from leeds, won!",
            "HH ER1 / W EH1 L / N OW1 N / B AE1 N D / , / F R AH1 M / L IY1 D Z / , / W AH1 N / !",
        ),
    ],
}
