"""Sentences for a synthetic corpus: drawn from a small grammar, then chosen for the spread of their pairs of phones.

Everything here is voicemill's own text. Most sentences are statements of everyday things; some are questions, some are
lists of words of the pronouncing dictionary, which hold pairs of phones that everyday words lack.
`spread` is the greedy choice of corpus design (van Santen and Buchsbaum, "Methods for optimal text selection", 1997):
of a few candidates it takes the one whose pairs of phones have been taken least often so far.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from voicemill.model.text.english.lexicon import lexicon
from voicemill.model.text.frontend import phonemes

CANDIDATES = 6
"""Candidates for each sentence that is taken."""

_WORDS: dict[str, str] = {
    "person": """farmer nurse pilot judge poet painter tailor sailor waiter singer doctor teacher baker plumber driver
        gardener lawyer chemist butcher carpenter author editor hunter shepherd fisherman grandmother nephew uncle aunt
        cousin neighbour stranger child girl boy woman gentleman captain soldier prisoner scholar student professor
        merchant jeweller clown juggler magician violinist drummer coach goalkeeper referee mayor king queen princess
        wizard giant orphan widow bride guest landlord tenant beggar thief detective journalist photographer""",
    "thing": """basket ladder kettle blanket mirror lantern hammer pencil notebook suitcase umbrella bicycle carriage
        violin trumpet drum whistle clock calendar map compass telescope candle bottle jug bowl spoon fork knife plate
        cup saucer table chair bench sofa cushion curtain carpet shelf cupboard drawer box barrel bucket broom brush
        needle thread button zipper jacket sweater scarf glove boot sandal hat crown ring necklace coin purse wallet
        ticket letter parcel stamp envelope newspaper magazine photograph painting statue vase flag rope chain anchor
        engine wheel pump pipe valve switch cable battery lamp radio telephone camera keyboard guitar piano puzzle toy
        kite balloon ball racket shovel spade rake saw axe chisel wrench screw nail bolt hinge key lock gate fence""",
    "food": """bread butter cheese yoghurt milk honey sugar salt pepper vinegar mustard garlic onion carrot cabbage
        lettuce spinach pumpkin potato tomato cucumber mushroom bean pea lentil rice pasta noodle soup stew pie pudding
        cake biscuit pancake waffle chocolate vanilla cinnamon ginger lemon orange apple pear peach plum cherry grape
        melon strawberry raspberry walnut almond coffee tea juice cider sausage bacon ham chicken turkey fish salmon""",
    "place": """village city harbour station airport market museum theatre library hospital school university church
        castle palace tower bridge tunnel factory mill farm barn orchard vineyard garden park forest jungle desert
        valley canyon mountain glacier volcano island beach lagoon river lake waterfall swamp meadow prairie cave quarry
        kitchen cellar attic balcony corridor basement garage workshop office bank bakery pharmacy restaurant hotel""",
    "animal": """cat dog horse donkey cow goat sheep pig rabbit squirrel fox wolf bear deer moose beaver otter badger
        hedgehog mouse rat bat owl eagle hawk pigeon sparrow robin crow goose duck swan penguin ostrich parrot turtle
        lizard snake frog toad whale dolphin shark octopus crab lobster beetle butterfly bee wasp spider ant monkey
        gorilla elephant giraffe zebra lion tiger leopard camel kangaroo buffalo""",
    "adjective": """old young small large narrow broad heavy light bright dark quiet noisy gentle rough smooth rusty
        broken empty full clean dirty wet dry frozen warm cold fresh rotten sweet bitter sour cheap expensive ancient
        modern strange familiar cheerful gloomy clever foolish brave timid lazy busy tired hungry thirsty angry calm
        proud humble wise curious careful careless wooden golden silver purple yellow orange grey enormous tiny
        crooked straight hollow solid fragile sturdy shallow deep steep smoky foggy sunny windy dusty muddy useful""",
    "verb": """carried painted borrowed repaired cleaned weighed measured counted noticed watched followed found lost
        bought sold stole hid moved lifted dropped threw caught pushed pulled opened closed locked packed wrapped
        emptied filled ordered delivered returned admired described recognised remembered forgot ignored examined
        photographed decorated polished destroyed rescued protected touched smelled wanted needed loved feared""",
    "went": """walked ran rode drove sailed flew climbed crawled travelled wandered hurried marched jumped swam rowed
        cycled strolled rushed drifted slipped stumbled crept danced raced""",
    "said": """said thought believed heard knew claimed promised dreamed hoped worried guessed explained suggested
        admitted insisted whispered shouted replied argued agreed""",
    "adverb": """slowly quickly quietly carefully suddenly gently proudly nervously happily sadly eagerly patiently
        calmly usually rarely often always never already finally together alone twice yesterday""",
    "time": """before breakfast|after lunch|every morning|last night|on Thursday|in the middle of July|at noon|this
        evening|at the end of the war|since the flood|during the concert|by the time it rained|just before midnight|in
        early spring|when the bell rang|for almost a year|a week ago|throughout the winter|on her birthday|once a month|
        until the following Sunday|in nineteen seventy five|around eleven o'clock|over the holidays|at sunrise""",
    "where": """behind the house|under the bridge|near the old mill|across the street|beside the river|above the door|
        on the roof|inside the box|beyond the hills|along the shore|between two rocks|at the edge of the town|among the
        trees|below the surface|out in the yard|down by the water|through the fog|towards the light|around the corner|
        beneath the floor|against the wall|far from any road|next to the window|opposite the church|up the stairs""",
    "number": """two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty fifty
        sixty seventy eighty ninety hundred""",
    "name": """Thomas Judith George Martha Edward Sylvia Arthur Beatrice Hugo Yvonne Oscar Ingrid Walter Joyce Victor
        Ursula Leonard Zoe Philip Charlotte Jeremy Agatha Douglas Rachel""",
}
_TEMPLATES = """
The @adjective @person @verb the @thing @where.
@name @verb a @adjective @thing @time.
The @animal @went @adverb @where.
@time, the @person @went to the @place.
There were @number @adjective @thing+ in the @place.
Why did the @person @verb0 the @thing?
We had @food and @food with the @person @time.
The @person @said that the @thing was too @adjective.
I would rather eat @food than @food.
Nobody in the @place had ever seen such a @adjective @animal.
@name and @name @went @where @time.
If the @thing is @adjective, give it to the @person.
The @thing that @name @verb was @adjective and @adjective.
My @person keeps a @animal and @number @animal+ @where.
Can you hear the @animal @where?
She @adverb @verb the @thing, but the @person did not mind.
It was a @adjective day, and the @place was @adjective.
His @person @said he would be back @time.
The price of @food rose to @number dollars a pound.
Please put the @thing and the @thing @where.
The @adjective @animal never @went far from the @place.
What happened to the @thing @where?
They @verb the @thing, the @thing, and the @adjective @thing.
A @adjective smell of @food filled the @place.
"I lost my @thing," @said the @person.
Between the @place and the @place lies a @adjective @place.
Have you ever @verb a @thing as @adjective as this one?
The @person with the @thing @went @adverb into the @place.
No @person should be @adjective @time.
Our @person was @adjective, yet @adverb she @verb the @thing.
How many @animal+ live in the @place?
The @place is @number miles from the @adjective @place.
Either the @person or the @person @verb the @food.
Although it was @adjective, the @thing did not belong to @name.
Thank you for the @adjective @thing, @name!
"""
_LISTS = ("{}, {}, and {}.", "The words are {}, {}, and {}.", "From {} to {}.", "Is it {}, or {}?", "Not {}, but {}.")
LIST_SHARE = 0.25
"""Share of the candidates that are lists of words of the dictionary."""
_BEFORE_VOWEL = re.compile(r"\b([Aa])(?= (?:[aeio]|u(?!ni|se)))")
_SLOT = re.compile(r"@([a-z]+)([+0]?)")


def sentences(seed: int = 1) -> Iterator[str]:
    """Endless sentences, each once, chosen by `spread`; the same seed gives the same ones."""
    rng, drawn = random.Random(seed), set[str]()
    taken: Counter[tuple[str, str]] = Counter()
    while True:
        candidates = [text for text in (_candidate(rng) for _ in range(CANDIDATES)) if text not in drawn]
        if not candidates:
            continue
        best = spread(candidates, taken)
        drawn.add(best)
        yield best


def spread(candidates: list[str], taken: Counter[tuple[str, str]]) -> str:
    """The candidate whose pairs of phones were taken least often, on average; they are added to `taken`."""
    pairs = {text: list(_pairs(text)) for text in candidates}
    best = max(candidates, key=lambda text: sum(1 / (1 + taken[pair]) for pair in pairs[text]) / len(pairs[text]))
    taken.update(pairs[best])
    return best


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    phones = [phone.rstrip("012") for phone in phonemes(text, "en").phones]
    return pairwise(phones)


def _candidate(rng: random.Random) -> str:
    if rng.random() < LIST_SHARE:
        frame = rng.choice(_LISTS)
        text = frame.format(*rng.sample(_dictionary(), frame.count("{}")))
    else:
        text = _SLOT.sub(lambda slot: _word(rng, *slot.groups()), rng.choice(_CHOICES))
        text = _BEFORE_VOWEL.sub(r"\1n", text)
    return text[0].upper() + text[1:] if text[0] != '"' else text


def _word(rng: random.Random, kind: str, form: str) -> str:
    word = rng.choice(_SPLIT[kind])
    if form == "+":
        return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + ("es" if _hisses(word) else "s")
    return _BARE.get(word, re.sub(r"(?<=..)ed$", "", word)) if form == "0" else word


def _hisses(word: str) -> bool:
    return word.endswith(("s", "x", "ch", "sh"))


_DICTIONARY: list[str] = []


def _dictionary() -> list[str]:
    """Words of the pronouncing dictionary of 4 to 11 letters, in order."""
    if not _DICTIONARY:
        words = (word for word in lexicon().entries if word.isalpha() and word.isascii() and 4 <= len(word) <= 11)
        _DICTIONARY.extend(sorted(words))
    return _DICTIONARY


_SPLIT = {
    kind: [" ".join(part.split()) for part in (text.split("|") if "|" in text else text.split())]
    for kind, text in _WORDS.items()
}
_CHOICES = [line for line in _TEMPLATES.strip().splitlines() if line]
_BARE = {
    "carried": "carry", "measured": "measure", "noticed": "notice", "found": "find", "lost": "lose", "bought": "buy",
    "sold": "sell", "stole": "steal", "hid": "hide", "moved": "move", "dropped": "drop", "threw": "throw",
    "caught": "catch", "closed": "close", "wrapped": "wrap", "emptied": "empty", "admired": "admire",
    "described": "describe", "recognised": "recognise", "forgot": "forget", "ignored": "ignore",
    "examined": "examine", "decorated": "decorate", "rescued": "rescue", "loved": "love",
}  # fmt: skip
"""Past forms whose bare form is more than the word without its ending."""
