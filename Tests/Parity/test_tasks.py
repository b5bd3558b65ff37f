"""Every task of the command line against upstream's API, on the demonstration model and on random ones.

Where upstream draws, its draws are replaced: by the most probable token (`--greedy`), or by the tokens that ours drew, so that the
counting, ranking and scoring behind them can be compared.
"""
import contextlib
import json
import math
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from PIL import Image

import api
import checkpoints
import programs
import report
from api import Reference
from checkpoints import Shape

# Perplexities and scores: the largest relative difference.
BOUND = 1e-3
# Two tokens whose logarithms of probabilities are this close may change places; what follows then is another text.
MARGIN = 1e-3

# Texts that differ, as a score is none where all are the same.
VARIED = ["--temperature", 4, "--top-p", 0.99]

DEMO = programs.ROOT / "Models" / "demo"
RANDOM = [
    Shape("tasks-random", layers=4, hidden=96, heads=4, left=24, side=6, right=16, kernel=3, last_kernel=5, bpe=500, text_specials=8, codes=128),
    Shape("tasks-no-specials", layers=3, left=16, side=4, right=14, bpe=400, text_specials=0, image_specials=0),
]


@dataclass
class Subject:
    name: str
    model: Path
    upstream: Reference
    words: list[str]
    pictures: list[Path]

    def run(self, command: str, *arguments) -> list[dict]:
        return programs.json_lines(programs.run("rudolph", command, "--model", self.model, "--json", *arguments))

    def text(self, chance: random.Random, words: int) -> str:
        return " ".join(chance.choices(self.words, k=words))

    def picture(self, path: Path) -> Image.Image:
        return Image.open(path).convert("RGB")


def compare_ids(what: str, ours: list[list[int]], expected: list[list[int]], margins: list[list[float]]) -> None:
    """`margins`: of the draws that gave the last of the expected ids."""
    equal, close = 0, 0
    for index, (mine, theirs) in enumerate(zip(ours, expected)):
        if mine == theirs:
            equal += 1
            continue
        place = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
        drawn = place - (len(theirs) - len(margins[index]))
        margin = margins[index][drawn] if 0 <= drawn < len(margins[index]) else math.inf
        close += margin <= MARGIN
        if report.few(what):
            report.note(f"{what} {index}: position {place}: {mine[place:place + 6]}, expected {theirs[place:place + 6]}, margin {margin:.1e}")
    report.check(
        len(ours) == len(expected) == equal + close and equal > 0,
        f"{what}: {equal} of {len(expected)} with the same ids, {close} apart from a draw within the margin of {MARGIN:g}"
        f" (smallest margin {min((min(m) for m in margins if m), default=math.nan):.1e})")


def compare_values(what: str, ours, expected) -> None:
    ours, expected = numpy.asarray(ours, dtype=float).ravel(), numpy.asarray(expected, dtype=float).ravel()
    if ours.shape != expected.shape or not expected.size:
        report.check(False, f"{what}: {ours.size} values, expected {expected.size}")
        return
    difference = (numpy.abs(ours - expected) / numpy.abs(expected)).max()
    report.check(
        bool(difference <= BOUND), f"{what}: {expected.size} values from {expected.min():.4g} to {expected.max():.4g} differ by {difference:.1e}")


def compare_scores(what: str, text_weight: float, ours: list[dict], counts, expected) -> None:
    """A score is made of perplexities' distances in units of their spread. It must be just that of our perplexities, and away from
    upstream's by no more than what BOUND for the perplexities comes to in these units."""
    texts, images = (torch.tensor([row[key] for row in ours], dtype=torch.float64) for key in ("text_perplexity", "image_perplexity"))
    scores, exact, slack = (numpy.asarray([row["score"] for row in ours]), 0.0, 0.0)
    for weight, values in [(text_weight, texts), (1 - text_weight, images)]:
        spread = values.quantile(0.5) - values.min()
        exact = exact + weight * (values - values.min()) / spread
        # The value, the smallest and the median may each be off.
        slack = slack + weight * BOUND * (values + values.min() + (values - values.min()) / spread * (values.quantile(0.5) + values.min())) / spread
    exact, slack, difference = exact.numpy() / counts, slack.numpy() / counts, numpy.abs(scores - expected)
    report.check(
        bool((numpy.abs(scores - exact) <= 1e-5 * numpy.maximum(exact, 1)).all() and (difference <= slack).all()),
        f"{what}: {len(ours)} scores from {scores.min():.4g} to {scores.max():.4g} differ by {difference.max():.1e},"
        f" {(difference / slack).max():.0%} of what is allowed; {numpy.abs(scores - exact).max():.1e} from those of our perplexities")


def drawings(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    picture_file = programs.WORK / "drawn.png"
    texts = [subject.text(chance, words) for words in (1, 3, 40)]
    prompts = [
        ("", None, None),
        ("inpaint up=2,left=1", dict(up=2, left=1, down=0, right=0), False),
        ("inpaint down=1,right=2", dict(up=0, left=0, down=1, right=2), False),
        ("inpaint crop first, all sides", dict(up=1, down=1, left=2, right=1), True),
    ]
    guidances = [("", [], None), ("guided", ["--guidance", "0.4"], dict(weight_cfg=0.4, late_softmax=False)),
                 ("guided late", ["--guidance", "0.4", "--guidance-mode", "logits"], dict(weight_cfg=0.4, late_softmax=True))]
    side = upstream.image_size
    base = programs.WORK / "base.png"
    subject.picture(subject.pictures[0]).resize((side, side)).save(base)
    for guidance_name, guidance_flags, guidance in guidances:
        for prompt_name, borders, crop_first in prompts if guidance is None else [prompts[0], prompts[-1]]:
            arguments, image_prompts = list(guidance_flags), None
            if borders:
                arguments += ["--inpaint", base, "--keep", ",".join(f"{name}={count}" for name, count in borders.items() if count)]
                arguments += ["--crop-first"] if crop_first else []
                image_prompts = api.ImagePrompts(Image.open(base), borders, upstream.vae, crop_first=crop_first)
            ours, expected, margins = [], [], []
            for text in texts if not borders else texts[1:2]:
                ours.append(subject.run("draw", text, "-o", picture_file, "--greedy", *arguments)[0]["tokens"])
                with api.most_probable() as margin:
                    if guidance is None:
                        codes = upstream.generate_codebooks(text, 1, image_prompts=image_prompts)
                    else:
                        with unfiltered(upstream), both(image_prompts):
                            codes = upstream.generate_codebooks_cfg(text, 1, image_prompts=image_prompts, **guidance)
                expected.append(codes[0].tolist())
                margins.append(spread(margin, image_prompts, len(expected[-1])))
            compare_ids(f"{subject.name} draw {guidance_name} {prompt_name}".replace("  ", " ").strip(), ours, expected, margins)
    # The picture of the last drawing, as upstream decodes it.
    values = upstream.vae.decode(torch.tensor([ours[-1]]))[0].permute(1, 2, 0).detach().double().numpy() * 255
    rest = values - numpy.asarray(Image.open(picture_file))
    report.check(bool((rest > -0.02).all() and (rest < 1.02).all()), f"{subject.name} draw: the picture's pixels ({values.std():.0f} deviation)")


def spread(margins: list[float], image_prompts, length: int) -> list[float]:
    """A margin for every position; a kept token has none."""
    if image_prompts is None:
        return margins
    drawn = iter(margins)
    return [math.inf if index in image_prompts.image_prompts_idx else next(drawn) for index in range(length)]


@contextlib.contextmanager
def unfiltered(upstream: Reference):
    """The most probable token of a mixture is that of the whole distributions."""
    saved = upstream.img_top_k, upstream.img_top_p
    upstream.img_top_k, upstream.img_top_p = 0, 1.0
    try:
        yield
    finally:
        upstream.img_top_k, upstream.img_top_p = saved


@contextlib.contextmanager
def both(image_prompts):
    """Upstream's guided drawing repeats the prompt for each picture but not for both of its contexts: here it has two rows."""
    if image_prompts is None:
        yield
        return
    saved = image_prompts.image_prompts
    image_prompts.image_prompts = saved.repeat(2, 1)
    try:
        yield
    finally:
        image_prompts.image_prompts = saved


def rankings_by_text(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    text = subject.text(chance, 2)
    pictures = subject.pictures[:7]
    tokens = [upstream.image_tokens(subject.picture(path)) for path in pictures]
    rows = {row["image"]: row for row in subject.run("rank", text, *pictures)}
    ppl_text, ppl_image, scores = upstream.self_reranking_by_text(text, torch.tensor(tokens))
    ours = [rows[str(path)] for path in pictures]
    compare_values(f"{subject.name} rank: perplexities of the text", [row["text_perplexity"] for row in ours], ppl_text)
    compare_values(f"{subject.name} rank: perplexities of the picture", [row["image_perplexity"] for row in ours], ppl_image)
    compare_scores(f"{subject.name} rank", 0.95, ours, 1, scores)
    order = [str(pictures[index]) for index in scores.argsort()]
    report.check(list(rows) == order, f"{subject.name} rank: the order of {len(order)} pictures")

    # The same seed draws the same candidates, ranked or not.
    output = programs.WORK / "drawn.png"
    drawn = [row["tokens"] for row in subject.run("draw", text, "-o", output, "-n", 6, "--seed", 4)]
    best = subject.run("draw", text, "-o", output, "-n", 3, "--candidates", 6, "--seed", 4)
    ppl_text, _, scores = upstream.self_reranking_by_text(text, torch.tensor(drawn))
    order = scores.argsort()[:3]
    report.check([row["tokens"] for row in best] == [drawn[index] for index in order], f"{subject.name} draw --candidates: the best 3 of 6")
    compare_values(f"{subject.name} draw --candidates: perplexities", [row["text_perplexity"] for row in best], ppl_text[order])


def captions(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    left_texts = ["", subject.text(chance, 3), subject.text(chance, 40)]
    templates = ["", subject.words[0]]
    ours, expected, margins = [], [], []
    for index, path in enumerate(subject.pictures[:6]):
        left, template = left_texts[index % len(left_texts)], templates[index // len(left_texts) % 2]
        ours.append(subject.run("caption", path, "--greedy", "--left-text", left, "--template", template)[0]["ids"])
        with api.most_probable() as margin:
            upstream.decoded.clear()
            upstream.generate_captions(subject.picture(path), captions_num=1, l_template=left, r_template=template)
        expected.append(ended(upstream))
        margins.append(margin[: len(expected[-1]) - 1 - template_size(upstream, template)])
    compare_ids(f"{subject.name} caption", ours, expected, margins)

    # Ranked by image. What was drawn is drawn again by upstream, which counts and ranks it.
    path = subject.pictures[1]
    row = subject.run("caption", path, "--candidates", 12, "--seed", 2, "--all", "--template", subject.words[0], *VARIED)[0]
    found = row["candidates"]
    replay = drawn_again(upstream, found, upstream.encode_text(subject.words[0], upstream.r_text_seq_length))
    with api.replaying(replay, upstream.tokenizer.eos_id):
        result = upstream.image_captioning(
            subject.picture(path), r_template=subject.words[0], captions_num=12, generations_num=len(replay))
    what = f"{subject.name} caption --rank image"
    report.check(
        [(entry["text"], entry["count"]) for entry in found] == [(entry["text"], entry["count"]) for entry in result],
        f"{what}: the texts, their counts and order ({len(found)} texts of {sum(entry['count'] for entry in found)} candidates)")
    by_text = {entry["text"]: entry for entry in result}
    expected = [by_text[entry["text"]] for entry in found]
    compare_values(f"{what}: perplexities of the text", [entry["text_perplexity"] for entry in found], [entry["ppl_txt"] for entry in expected])
    compare_values(f"{what}: perplexities of the picture", [entry["image_perplexity"] for entry in found], [entry["ppl_img"] for entry in expected])
    compare_scores(
        what, 0.05, found, numpy.asarray([entry["count"] for entry in found]), numpy.asarray([entry["score"] for entry in expected]))


def ended(upstream: Reference) -> list[int]:
    """The ids of the one text that upstream decoded last, with the end that it cut off if there was one."""
    (ids,) = upstream.decoded
    return ids if len(ids) == upstream.r_text_seq_length else ids + [upstream.tokenizer.eos_id]


def template_size(upstream: Reference, template: str) -> int:
    return int((upstream.encode_text(template, upstream.r_text_seq_length) != 0).sum()) - 2


def drawn_again(upstream: Reference, found: list[dict], encoded_prompt: torch.Tensor) -> list[list[int]]:
    """What was drawn behind the prompt, for each candidate."""
    size = int((encoded_prompt != 0).sum()) - 1
    return [entry["ids"][size:] for entry in found for _ in range(entry["count"])]


def classifications(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    classes = chance.sample(subject.words, 9) + [subject.text(chance, 2), subject.text(chance, 5)]
    for flags, templates in [
        ([], {}),
        (["--right-template", f"{subject.words[1]} {{}}", "--left-template", subject.words[2]],
         dict(r_template=f"{subject.words[1]} {{}}", l_template=subject.words[2])),
        (["--right-template", subject.words[1], "--left-template", "{} " + subject.words[2]],
         dict(r_template=subject.words[1], l_template="{} " + subject.words[2])),
    ]:
        path = chance.choice(subject.pictures)
        row = subject.run("classify", path, *classes, *flags)[0]
        ours = {entry["class"]: entry for entry in row["classes"]}
        upstream.perplexities.clear()
        result = upstream.zs_clf(subject.picture(path), classes, bs=len(classes), **templates)
        what = f"{subject.name} classify" + (" with templates" if flags else "")
        report.check(row["class"] == result["class"], f"{what}: the class")
        compare_values(f"{what}: perplexities", [ours[name]["perplexity"] for name in classes], upstream.perplexities[0])
        compare_values(f"{what}: scores", [ours[name]["score"] for name in classes], result["scores"])


def completions(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    allowed = sorted(chance.sample(range(4, upstream.text_vocab_size), 40)) + [3]
    for name, text, flags, options in [
        ("complete", "", [], {}),
        ("complete", subject.text(chance, 1), [], {}),
        ("complete", subject.text(chance, 2), [], {}),
        ("complete --allowed", subject.text(chance, 1), ["--allowed", ",".join(map(str, allowed))], dict(allowed_token_ids=allowed)),
    ]:
        ours = subject.run("complete", text, "--greedy", *flags)[0]["ids"]
        with api.most_probable(never=None if options else upstream.text_vocab_size) as margin:
            upstream.decoded.clear()
            try:
                upstream.generate_texts(text, texts_num=1, **options)
            except (RuntimeError, ValueError):  # it cannot rank nothing
                pass
        expected = upstream.decoded[0]
        if len(expected) < upstream.l_text_seq_length:
            expected = expected + [upstream.tokenizer.eos_id]
        size = int((upstream.encode_text(text, upstream.l_text_seq_length) != 0).sum()) - 1
        compare_ids(f"{subject.name} {name} {text!r}", [ours], [expected], [margin[: len(expected) - size]])

    text = subject.text(chance, 1)
    found = subject.run("complete", text, "--candidates", 12, "--seed", 3, "--all", *VARIED)[0]["candidates"]
    replay = drawn_again(upstream, found, upstream.encode_text(text, upstream.l_text_seq_length))
    upstream.perplexities.clear()
    with api.replaying(replay, upstream.tokenizer.eos_id):
        result = upstream.generate_texts(text, texts_num=len(replay))
    report.check(
        [(entry["text"], entry["count"]) for entry in found] == [(entry["text"], entry["count"]) for entry in result],
        f"{subject.name} complete: the texts, their counts and order ({len(found)} texts of {len(replay)} candidates)")
    perplexities = sorted(upstream.perplexities[0].tolist())
    compare_values(f"{subject.name} complete: perplexities", [entry["perplexity"] for entry in found], perplexities)


def questions(subject: Subject, chance: random.Random) -> None:
    upstream = subject.upstream
    nothing = [0] * upstream.image_seq_length
    for what, picture in [("ask", True), ("ask --text", False)]:
        ours, expected, margins = [], [], []
        for index in range(5):
            question, path = subject.text(chance, [1, 3, 6, 10, 40][index]), subject.pictures[index]
            arguments = [path, question] if picture else ["--text", question]
            ours.append(subject.run("ask", *arguments, "--greedy")[0]["ids"])
            tokens = upstream.image_tokens(subject.picture(path)) if picture else nothing
            ids, margin, _ = answer(upstream, question, tokens)
            expected.append(ids)
            margins.append(margin)
        compare_ids(f"{subject.name} {what}", ours, expected, margins)


def answer(upstream: Reference, question: str, tokens: list[int]) -> tuple[list[int], list[float], str]:
    """The most probable answer: its ids, the margins of its draws, its text."""
    upstream.decoded.clear()
    with upstream.seeing(tokens), api.most_probable() as margin:
        texts, _ = upstream.generate_captions(
            Image.new("RGB", (8, 8)), captions_num=1, l_template=question, l_special_token="<LT_UNK>", r_special_token="<RT_UNK>")
    ids = ended(upstream)
    return ids, margin[: len(ids) - template_size(upstream, "") - 1], texts[0] if texts else ""


def challenge(subject: Subject, chance: random.Random) -> None:
    """The six kinds of task of Fusion Brain Challenge 2.0: `rudolph answer` against a script over upstream's classes."""
    upstream = subject.upstream
    folder = programs.WORK / f"{subject.name}-challenge"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut short
    (folder / "images").mkdir(parents=True)
    tasks: dict[str, list[dict]] = {}

    def text(words: int) -> dict:
        return {"type": "text", "content": subject.text(chance, words).capitalize()}

    def picture(index: int) -> dict:
        name = f"images/{len(tasks):05}{subject.pictures[index].suffix}"
        shutil.copy(subject.pictures[index], folder / name)
        return {"type": "image", "content": name}

    kinds = {
        "text QA": lambda: [text(8), text(3)],
        "mathematical QA": lambda: [text(4), {"type": "text", "content": "2 + 3 = ?"}],
        "generation": lambda: [text(2)],
        "captioning": lambda: [picture(0), text(2)],
        "visual QA": lambda: [text(3), picture(1)],
        "recognition": lambda: [text(1), picture(2), text(1)],
    }
    for index in range(12):
        tasks[str(index)] = list(kinds.values())[index % 6]()
    (folder / "input.json").write_text(json.dumps(tasks, ensure_ascii=False))
    predictions_file = folder / "predictions.json"
    lines = {row["id"]: row for row in subject.run("answer", folder / "input.json", "-o", predictions_file, "--greedy")}
    predictions = json.loads(predictions_file.read_text())
    what = f"{subject.name} answer"
    report.check(list(predictions) == list(tasks), f"{what}: an answer for each of {len(tasks)} tasks, in order")

    drawn, expected_drawn, drawn_margins, ours, expected, margins, files = [], [], [], [], [], [], 0
    for index, parts in tasks.items():
        question = "".join(part["content"] + " " for part in parts if part["type"] == "text").lower().strip()
        given = [part["content"] for part in parts if part["type"] == "image"]
        line = lines.get(index, {})
        if given:
            tokens = upstream.image_tokens(subject.picture(folder / given[0]))
        else:
            with api.most_probable() as margin:
                tokens = upstream.generate_codebooks(question, 1, special_token="<LT_UNK>")[0].tolist()
            drawn.append(line.get("tokens", []))
            expected_drawn.append(tokens)
            drawn_margins.append(margin)
            # These are compared below; where a near tie was drawn the other way, answers are those of our picture.
            tokens = drawn[-1] or tokens
        ids, margin, text = answer(upstream, question, tokens)
        ours.append(line.get("ids", []))
        expected.append(ids)
        margins.append(margin)
        right = [{"type": "text", "content": text}]
        if not given:
            right.append({"type": "image", "content": f"images/image_{index}.jpg"})
            with Image.open(folder / right[1]["content"]) as picture:
                files += picture.size == (upstream.image_size,) * 2
        if predictions.get(index) != right and report.few(what):
            report.note(f"{index} {question[:40]!r}: {predictions.get(index)}, expected {right}")
        predictions[index] = predictions.get(index) == right
    compare_ids(f"{what}: drawn pictures", drawn, expected_drawn, drawn_margins)
    compare_ids(f"{what}: texts", ours, expected, margins)
    same = sum(predictions.values())
    report.check(same == len(tasks), f"{what}: {same} of {len(tasks)} tasks with the script's predictions ({', '.join(kinds)})")
    report.check(files == len(drawn), f"{what}: {files} of {len(drawn)} drawn pictures are files of the right size")


def sampling(folder: Path) -> None:
    """Texts of a single drawn token, so often that every one that passes the filters comes up, and about as often as it should."""
    shape = Shape("tasks-one-token", layers=1, right=3, bpe=300)
    made = checkpoints.write(shape, folder / shape.name, seed=77)
    subject = random_subject(made, random.Random(77))
    upstream, count = subject.upstream, 4096
    path = subject.pictures[0]
    for top_k, top_p, temperature in [(5, 1.0, 1.0), (8, 0.8, 0.9), (0, 0.5, 0.7), (400, 0.6, 1.5), (3, 0.0, 1.0)]:
        seen: list[torch.Tensor] = []

        def draw(probabilities, count, seen=seen):
            seen.append(probabilities[0])
            return probabilities.argmax(-1, keepdim=True)

        saved, upstream.txt_top_k = upstream.txt_top_k, top_k  # upstream takes an argument of 0 for none
        with api.drawing_by(draw):
            upstream.generate_captions(subject.picture(path), captions_num=1, top_k=top_k, top_p=top_p or 1e-9, temperature=temperature)
        upstream.txt_top_k = saved
        rest = float(seen[0][seen[0] > 0].min())
        expected: dict[str, float] = {}
        for index in seen[0].nonzero().flatten().tolist():
            text = upstream.decode_text(torch.tensor([index])).strip() if index < upstream.text_vocab_size else ""
            expected[text] = expected.get(text, 0) + float(seen[0][index])
        found = subject.run(
            "caption", path, "--candidates", count, "--seed", 9, "--all", "--rank", "count", "--template", "", "--top-k", top_k, "--top-p",
            top_p, "--temperature", temperature)[0]["candidates"]
        ours = {entry["text"]: entry["count"] for entry in found}
        expected.pop("", None)
        missing = [text for text, p in expected.items() if text not in ours and p * count > 20]
        strange = [text for text in ours if text not in expected]
        deviation = max(
            abs(ours.get(text, 0) - p * count) / max(1.0, (p * (1 - p) * count) ** 0.5) for text, p in expected.items())
        report.check(
            not missing and not strange and deviation < 5,
            f"top-k {top_k}, top-p {top_p}, temperature {temperature}: {len(ours)} of {len(expected)} texts drawn, {len(missing)} missing,"
            f" {len(strange)} unexpected, counts off by {deviation:.1f} standard deviations at most (least likely {rest:.1e})")


def demo_subject() -> Subject:
    # The packed file is named after the folder.
    folder = programs.WORK / "demo"
    folder.symlink_to(DEMO / "float")
    model = programs.convert(folder, "f16")
    folder.unlink()
    names = [line.split("\t") for line in (DEMO / "samples" / "names.tsv").read_text().splitlines()]
    words = sorted({word for _, text in names for word in text.split()})
    return Subject("demo", model, Reference.load(DEMO / "float"), words, [DEMO / "samples" / name for name, _ in names])


def random_subject(made: checkpoints.Checkpoint, chance: random.Random) -> Subject:
    config = json.loads((made.folder / "config.json").read_text())
    upstream = Reference(made.folder, made.transformer, made.vqgan, config)
    pieces = {piece.strip("▁") for piece in upstream.tokenizer.tokenizer.vocab()}
    pieces = sorted(piece for piece in pieces if len(piece) > 1 and piece.isalpha())
    words = sorted({"".join(chance.choices(pieces, k=2)) for _ in range(40)})
    pictures = []
    for index in range(8):
        state = numpy.random.default_rng(chance.randrange(2**32))
        side = made.shape.side
        blocks = state.integers(0, 256, (side, side, 3)).repeat(8, 0).repeat(8, 1)
        path = made.folder / f"{index}.png"
        Image.fromarray(numpy.clip(blocks + state.normal(0, 10 * index, blocks.shape), 0, 255).astype(numpy.uint8)).save(path)
        pictures.append(path)
    return Subject(made.shape.name, programs.convert(made.folder, "f16"), upstream, words, pictures)


@torch.no_grad()
def main() -> None:
    programs.WORK.mkdir(parents=True, exist_ok=True)
    subjects = [demo_subject()]
    for seed, shape in enumerate(RANDOM):
        made = checkpoints.write(shape, programs.WORK / shape.name, seed + 200)
        subjects.append(random_subject(made, random.Random(seed)))
    for seed, subject in enumerate(subjects):
        chance = random.Random(seed)
        for compare in [drawings, rankings_by_text, captions, classifications, completions, questions, challenge]:
            compare(subject, chance)
        subject.model.unlink()
    sampling(programs.WORK)
    report.finish()


if __name__ == "__main__":
    main()
