"""CTranslate2, int8: python ctranslate.py FOLDER

forward_batch reads the whole prompt at once and gives the logits of all positions; there is no call that gives only the last. Tokens are
timed between two calls of the generation callback, with the prompt as a cached static prompt.
"""
import sys

import ctranslate2
import numpy

from peer import PROMPT, ROWS, STEPS, THREADS, TOKENS, clock, serve, timed

ids = [977 * position % (ROWS - 8) + 8 for position in range(PROMPT)]
words = [f"t{index}" for index in ids]


def load():
    generator = ctranslate2.Generator(sys.argv[1], device="cpu", compute_type="int8", inter_threads=1, intra_threads=THREADS)

    def generate(sequences, prompt, tokens):
        """Moments at which each step's last sequence got its token."""
        moments = {}

        def step(result):
            moments[result.step] = clock()
            return False

        generator.generate_batch(
            [words[-1:]] * sequences, static_prompt=prompt, cache_static_prompt=True, max_length=tokens, min_length=tokens,
            sampling_topk=1, include_prompt_in_result=False, callback=step)
        return [moments[at] for at in sorted(moments)]

    def steps(sequences, prompt, tokens):
        moments = generate(sequences, prompt, tokens)
        return [b - a for a, b in zip(moments, moments[1:])]

    def measure():
        return {
            "prefill": [timed(lambda: numpy.asarray(generator.forward_batch([ids])))[0]],
            "shallow": steps(1, None, STEPS + 1), "deep": steps(1, words[:-1], STEPS + 1), "eight": steps(8, words[:-1], 9),
        }

    def caption():
        generator.generate_batch(
            [words], max_length=TOKENS, min_length=TOKENS, sampling_topk=1, include_prompt_in_result=False)
        return {}

    return {"measure": measure, "caption": caption}


serve(load)
