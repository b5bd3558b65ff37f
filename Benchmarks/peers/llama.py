"""llama.cpp through its C interface: python llama.py MODEL.gguf

Two contexts, without and with flash attention: compare.py takes whichever was faster. Keys and values are f16, of one unified cache, so
that sequences share a prefix by reference. Prefill asks for the logits of the last position only.
"""
import sys

import llama_cpp as llama

from peer import LEFT, PROMPT, ROWS, STEPS, THREADS, TOKENS, errors_only, serve, timed

SEQUENCES = 8


class Context:
    def __init__(self, model, flash):
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_seq_max = SEQUENCES
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = THREADS
        parameters.flash_attn_type = flash
        self.context = llama.llama_init_from_model(model, parameters)
        self.memory = llama.llama_get_memory(self.context)
        self.batch = llama.llama_batch_init(512, 0, 1)

    def decode(self, entries, logits):
        """`entries` are (position, sequence) of the tokens of one batch; `logits` says for which of them."""
        batch = self.batch
        batch.n_tokens = len(entries)
        for index, (position, sequence) in enumerate(entries):
            batch.token[index] = (977 * position + 31 * sequence) % ROWS
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = index in logits
        if llama.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama.llama_synchronize(self.context)
        for index in logits:
            llama.llama_get_logits_ith(self.context, index)

    def read(self, start, end):
        self.decode([(position, 0) for position in range(start, end)], {end - start - 1})

    def clear(self):
        llama.llama_memory_clear(self.memory, True)

    def measure(self):
        self.clear()
        shallow = [timed(lambda: self.read(at, at + 1))[0] for at in range(STEPS + 1)]
        self.clear()
        self.read(0, LEFT)
        prefill = [timed(lambda: self.read(LEFT, PROMPT))[0]]
        deep = [timed(lambda: self.read(at, at + 1))[0] for at in range(PROMPT, PROMPT + STEPS + 1)]
        llama.llama_memory_seq_rm(self.memory, 0, PROMPT, -1)
        for sequence in range(1, SEQUENCES):
            llama.llama_memory_seq_cp(self.memory, 0, sequence, 0, PROMPT)
        all_of_them = set(range(SEQUENCES))
        eight = [
            timed(lambda: self.decode([(at, sequence) for sequence in range(SEQUENCES)], all_of_them))[0]
            for at in range(PROMPT, PROMPT + 9)
        ]
        # The first of a kind allocates its graph.
        return {"shallow": shallow[1:], "prefill": prefill, "deep": deep[1:], "eight": eight[1:]}

    def caption(self):
        self.clear()
        self.read(0, PROMPT)
        for at in range(PROMPT, PROMPT + TOKENS - 1):
            self.read(at, at + 1)
        return {}


def load():
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(sys.argv[1].encode(), llama.llama_model_default_params())
    kinds = {"flash": llama.LLAMA_FLASH_ATTN_TYPE_ENABLED}
    if "--once" not in sys.argv:
        kinds["plain"] = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    contexts = {name: Context(model, kind) for name, kind in kinds.items()}

    def measure():
        return {
            f"{what}/{name}": seconds for name, context in contexts.items() for what, seconds in context.measure().items()}

    return {
        "measure": measure, "caption": contexts["flash"].caption,
        "about": lambda: {"system": llama.llama_print_system_info().decode()},
    }


errors_only(llama)
serve(load)
