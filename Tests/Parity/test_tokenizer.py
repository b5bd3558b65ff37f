"""`rudolph tokenize` against youtokentome, on 10,000 texts for each of two models."""
import json
import random
import shutil

import youtokentome

import checkpoints
import programs
import report

COUNT = 10_000
SPACES = "".join(map(chr, [*range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, 0x180E, *range(0x2000, 0x200D),
                           0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x2581, 0x3000, 0xFEFF]))
CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
LATIN = "abcdefghijklmnopqrstuvwxyz"
EMOJI = ["🍎", "🐈", "❤️", "👩‍🚀", "🏳️‍🌈", "1️⃣", "🇷🇺", "👍🏽", "☕", "🧑‍🤝‍🧑"]
LITERALS = ["<PAD>", "<UNK>", "<BOS>", "<EOS>", "<LT_UNK>", "▁", "\0", "\x7f", "é", "e\u0301", "й", "и\u0306", "ß", "İ", "Σ", "ﬁ", "漢字"]


def generated_texts(chance: random.Random, words: list[str]) -> list[str]:
    def code_point() -> str:
        while True:
            value = chance.choice([chance.randrange(0x110000), chance.randrange(0x3000), chance.randrange(0x1F000, 0x1FAFF)])
            if not 0xD800 <= value < 0xE000:
                return chr(value)

    def letters(alphabet: str, longest: int) -> str:
        return "".join(chance.choices(alphabet, k=chance.randint(1, longest)))

    def mixed_case(text: str) -> str:
        return "".join(chance.choice([str.upper, str.lower, str.title])(letter) for letter in text)

    parts = [
        lambda: chance.choice(words), lambda: chance.choice(words), lambda: chance.choice(words),
        lambda: letters(CYRILLIC, 12), lambda: letters(LATIN, 10), lambda: mixed_case(letters(CYRILLIC + LATIN, 12)),
        lambda: letters("0123456789.,-+", 8), lambda: letters("!?;:()«»\"'№%&*/\\", 4), lambda: chance.choice(EMOJI),
        lambda: "".join(chance.choices(EMOJI, k=3)), code_point, lambda: "".join(code_point() for _ in range(6)),
        lambda: chance.choice(LITERALS),
    ]
    joints = ["", " ", " ", " ", " ", "  "]

    def text() -> str:
        if chance.random() < 0.4:  # as people write: known words alone
            return " ".join(chance.choices(words, k=chance.randint(1, 12)))
        pieces = []
        for _ in range(chance.randint(0, 14)):
            pieces.append(chance.choice(parts)())
            pieces.append(chance.choice(joints) if chance.random() < 0.85 else letters(SPACES, 3))
        return chance.choice(["", "", " ", "\t\n"]) + "".join(pieces)

    texts = ["", " ", SPACES, *LITERALS, *EMOJI, "я" * 20_000, "абв" * 7_000, "🍎" * 5_000, " ".join(words)]
    texts += [letters(CYRILLIC + LATIN + "ΩЖ", 3_000) for _ in range(20)]
    return texts + [text() for _ in range(COUNT - len(texts))]


def compare(name: str, folder, texts: list[str]) -> None:
    reference = youtokentome.BPE(model=str(folder / "bpe.model"), n_threads=1)
    model = programs.convert(folder, "f16")
    file = programs.WORK / "texts.jsonl"
    file.write_bytes("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode())
    lines = programs.json_lines(programs.run("rudolph", "tokenize", "--model", model, "--json", "--input", file))

    expected_ids = reference.encode(texts, output_type=youtokentome.OutputType.ID)
    expected_pieces = reference.encode(texts, output_type=youtokentome.OutputType.SUBWORD)
    same = {"ids": 0, "pieces": 0}
    for text, ids, pieces, line in zip(texts, expected_ids, expected_pieces, lines):
        for key, expected in [("ids", ids), ("pieces", pieces)]:
            equal = line["text"] == text and line[key] == expected
            same[key] += equal
            if not equal and len(text) < 60 and report.few(f"{name} {key}"):
                report.note(f"{text!r}: {key} {line[key]}, expected {expected}")
    for key, count in same.items():
        report.check(
            len(lines) == len(texts) == count,
            f"tokenizer {name}: {count} of {len(texts)} texts with the same {key} ({sum(map(len, expected_ids))} in all)")


def main() -> None:
    programs.WORK.mkdir(parents=True, exist_ok=True)
    chance = random.Random(20)
    demo = programs.ROOT / "Models" / "demo" / "float"
    pictures = json.loads((programs.ROOT / "Tests" / "Golden" / "bpe.json").read_text())["strings"]
    words = sorted({word for picture in pictures for word in picture["text"].split()})
    compare("of the demo model (2048 ids)", demo, generated_texts(chance, words))

    shape = checkpoints.Shape("tokenizer-4001", layers=1, hidden=32, heads=1, bpe=4001)
    made = checkpoints.write(shape, programs.WORK / shape.name, seed=21)
    words = [piece.strip("▁") for piece in youtokentome.BPE(model=str(made.folder / "bpe.model"), n_threads=1).vocab() if len(piece) > 2]
    compare("of 4001 ids", made.folder, generated_texts(chance, words))
    shutil.rmtree(made.folder)
    report.finish()


if __name__ == "__main__":
    main()
