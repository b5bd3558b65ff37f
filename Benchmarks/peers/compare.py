"""Measures ours and the peers, interleaved, on this machine and prints a Markdown table of ratios; everything goes into a JSON file too.

    make peers                                          all of it: about fifteen minutes after the installation
    Benchmarks/peers/run.sh --quick                     two rounds, upstream's drawing extrapolated
    Benchmarks/peers/run.sh --cpu-time                  one thread, processor time, for a machine that is not idle
    Benchmarks/peers/run.sh --models /tmp/models        our files and the checkpoint from there: 350M-int4.gguf, 350M-int8.gguf, 350M/

Every peer has a process of its own, loaded once, that sleeps until it is asked: llama.py, ctranslate.py, onnx_vqgan.py, upstream.py.
A round lets one after the other compute, ours between any two, so that a ratio is formed of neighbours in time; the table has the median
of the rounds' ratios and their range. Peers keep their own defaults for spinning threads (only onnxruntime's are told to stop after a
call): the driver waits until they sleep (200 ms with Intel's OpenMP) before the next may run, and adds up the processor time that idle
peers took meanwhile. All models are mapped from, and all times taken with, a warm page cache.
"""
import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from peer import CPU_TIME, PROMPT, THREADS, TOKENS
from prepare import BIN, HERE, ROOT

READ = 258  # tokens of a picture and two of the prompt, after the left text
PAUSE = 0.3
VENV = Path(sys.prefix)
LLAMA = {build: VENV / f"llama-{build}" for build in ("native", "avx2")}


class Peer:
    """A peer's process."""
    all = []

    def __init__(self, name, script, *arguments, path=None):
        self.name = name
        self.command = [sys.executable, "-W", "ignore", str(HERE / script), *map(str, arguments)]
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": str(path or LLAMA["native"])}
        self.idle = 0.0

    def start(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        Peer.all.append(self)
        self.load = self.answer()["load"]
        time.sleep(PAUSE)
        self.used = self.processor_time()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: its process ended, see above")
        return json.loads(line)

    def processor_time(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, job):
        self.idle += self.processor_time() - self.used
        print(job, file=self.process.stdin, flush=True)
        result = self.answer()
        time.sleep(PAUSE)
        self.used = self.processor_time()
        return result

    def once(self, job):
        """The memory of a process of its own that does this job once."""
        result, usage = run([*self.command, "--once", job], self.environment)
        return {"peak_mib": usage.ru_maxrss / 1024, "imported_mib": json.loads(result)["imported_mib"]}

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def run(command, environment=None):
    """Output and resource usage; a program that fails ends everything."""
    process = subprocess.Popen([str(part) for part in command], env=environment, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
    return output, usage


def processor_seconds(usage):
    return (usage.ru_utime + usage.ru_stime) / THREADS


STAGES = {  # of RudolphBenchmark, by the names of the peers' jobs
    "open the model": "open", "picture to tokens": "encode", "tokens to picture": "decode", "read the picture's tokens": "prefill",
    "token at depth 0": "shallow", "token after the picture": "deep", "8 sequences, one picture": "eight",
    "48 sequences, one picture": "many",
}


class Ours:
    """Our programs with one model file."""

    def __init__(self, name, model, *options, cpu=None):
        self.name, self.model, self.options = name, model, options
        self.environment = {**os.environ, **({"RUDOLPH_CPU": cpu} if cpu else {})}
        self.reports = []

    def measure(self):
        output, _ = run([BIN / "RudolphBenchmark", self.model, "--threads", THREADS, "--repetitions", 1, "--no-drawing", "--json",
                         *self.options, *(["--cpu-time"] if CPU_TIME else [])], self.environment)
        report = json.loads(output)
        self.reports.append(report)
        return {STAGES[name]: [stage["median_ms"] / 1e3] for name, stage in report["stages"].items() if name in STAGES}

    def caption(self, picture):
        """Seconds from the moment before the process is started."""
        start = time.monotonic()
        output, usage = run([BIN / "RudolphBenchmark", self.model, "--threads", THREADS, "--caption", picture], self.environment)
        wall = time.monotonic() - start
        moments = json.loads(output)
        if moments["tokens"] != TOKENS:
            raise SystemExit(f"{self.model}: a caption of {moments['tokens']} tokens, expected {TOKENS}")
        inside = moments["end"] - moments["first_kernel"]
        if CPU_TIME:
            wall = inside = processor_seconds(usage)
        return {"caption": [wall], "caption-inside": [inside], "start": [moments["first_kernel"] - start],
                "peak_mib": [usage.ru_maxrss / 1024]}

    def draw(self, output):
        start = time.monotonic()
        _, usage = run(
            [BIN / "rudolph", "draw", "кот", "-o", output, "--seed", 1, "--threads", THREADS, "--model", self.model, "--quiet"])
        return {"draw": [processor_seconds(usage) if CPU_TIME else time.monotonic() - start]}


class Samples:
    """Seconds by who, what and round."""

    def __init__(self):
        self.values = {}

    def add(self, who, round, measured):
        for what, seconds in measured.items():
            self.values.setdefault(who, {}).setdefault(what, {}).setdefault(round, []).extend(seconds)

    def rounds(self, who, what):
        return {round: median(seconds) for round, seconds in self.values[who][what].items()}

    def median(self, who, what):
        return median(self.rounds(who, what).values())

    def faster(self, who, what):
        """llama.cpp's better kind of attention."""
        kinds = [name for name in self.values[who] if name.split("/")[0] == what]
        return min(kinds, key=lambda name: self.median(who, name))

    def ratio(self, ours, peer):
        """Median, least and largest of the rounds' ratios: how many times faster ours is."""
        a, b = self.rounds(*ours), self.rounds(*peer)
        # What one side did once stands against the median of the other.
        shared = sorted(set(a) & set(b)) if min(len(a), len(b)) > 1 else []
        ratios = [b[round] / a[round] for round in shared] or [median(b.values()) / median(a.values())]
        return median(ratios), min(ratios), max(ratios)


def quality(work, onnx, torch):
    """Image tokens and decoded pictures of ours beside those of fp32, for each size."""
    import numpy
    from PIL import Image

    tokens, torch_tokens = onnx.ask("quality"), torch.ask("tokens")
    result = {}
    for side, model in [(128, work.models / "350M-int4.gguf"), (256, work.folder / "256px.gguf")]:
        names = sorted(name for name in tokens if name.startswith(f"picture-{side}-"))
        output, _ = run([BIN / "rudolph", "encode", "--json", "--model", model, "--quiet",
                         *(work.folder / f"{name}.png" for name in names)])
        ours = {Path(entry["image"]).stem: entry["tokens"] for entry in map(json.loads, output.splitlines())}
        (work.folder / "tokens.json").write_text("".join(json.dumps({"tokens": tokens[name]}) + "\n" for name in names))
        run([BIN / "rudolph", "decode", "--model", model, "--quiet", "--tokens", work.folder / "tokens.json", "-o",
             work.folder / "ours.png"])

        def equal(theirs):
            return float(numpy.mean([a == b for name in names for a, b in zip(ours[name], theirs[name], strict=True)]))

        ratios, deviations = [], []
        for index, name in enumerate(names):
            seen = numpy.asarray(Image.open(work.folder / f"ours-{index + 1}.png")).astype(float)
            # Truncated, as the reference makes bytes.
            exact = numpy.floor(255 * numpy.load(work.folder / f"decoded-{name}.npy").transpose(1, 2, 0))
            ratios.append(float(10 * numpy.log10(255 ** 2 / max(1e-9, ((seen - exact) ** 2).mean()))))
            deviations.append(float(exact.std()))
        result[side] = {"pictures": len(names), "equal_to_onnxruntime": equal(tokens), "equal_to_torch": equal(torch_tokens),
                        "codes_seen": len({token for name in names for token in tokens[name]}), "psnr_db": ratios,
                        "standard_deviation_of_pixels": deviations}
    return result


def rows(samples, has_avx512):
    """Title, ours, peer, how to show the seconds, target. A peer's name is given once for all its builds."""
    int4, int8 = "ours int4", "ours int8"
    q4, q8, ct2, onnx = "llama.cpp Q4_0", "llama.cpp Q8_0", "CTranslate2 int8", "onnxruntime fp32"
    fp32, dynamic = "upstream fp32", "upstream dynamic int8"
    wide = 2.5 if has_avx512 else 2.0  # of an AVX2 build where that is all there is
    result = []

    def row(title, ours, peer, ours_what, peer_what=None, work=(1, 1), unit="tokens/s", target=None):
        peer_what = samples.faster(peer, peer_what or ours_what)
        ratio, least, most = samples.ratio((ours, ours_what), (peer, peer_what))
        scale = work[0] / work[1]  # to the same number of tokens
        result.append({
            "work": title, "ours": ours, "peer": peer + (", flash attention" if peer_what.endswith("/flash") else ""), "unit": unit,
            "ours_seconds": samples.median(ours, ours_what), "peer_seconds": samples.median(peer, peer_what),
            "tokens": work, "ratio": ratio * scale, "least": least * scale, "most": most * scale, "target": target})

    read, all_of_it = (READ, READ), (READ, PROMPT)
    for ours in (int4, int8):
        row("prefill", ours, q4, "prefill", work=read, target=wide)
        row("prefill", ours, q8, "prefill", work=read)
        row("prefill", ours, ct2, "prefill", work=all_of_it, target=1.3)
        row("prefill", ours, dynamic, "prefill", "prompt", work=all_of_it)
    for title, what, target in [("decode, depth 0", "shallow", 1.25), ("decode, depth 322", "deep", 1.8)]:
        for ours, peer in [(int4, q4), (int8, q8)]:
            row(title, ours, peer, what, target=target)
        row(title, int8, ct2, what)
    row("decode, depth 322", int4, fp32, "deep")
    for ours, peer, target in [(int4, q4, 4), (int8, q8, 4), (int8, ct2, None)]:
        row("8 sequences, shared prefix", ours, peer, "eight", work=(8, 8), target=target)
    if "llama.cpp Q4_0, AVX2 build" in samples.values:
        for ours, peer in [("ours int4, AVX2 mask", q4 + ", AVX2 build"), ("ours int8, AVX2 mask", q8 + ", AVX2 build")]:
            row("prefill", ours, peer, "prefill", work=read, target=2.0)
            for title, what in [("decode, depth 0", "shallow"), ("decode, depth 322", "deep")]:
                row(title, ours, peer, what)
    for what in ("encode", "decode"):
        for pixels, ours in [(128, int4), (256, "ours 256 px")]:
            for peer, target in [(onnx, 2.5), (fp32, None)]:
                row(f"image {what}, {pixels} px", ours, peer, what, f"{what}-{pixels}", unit="ms", target=target)
    for peer, target in [(fp32, 15), (dynamic, 7)]:
        row(f"picture to caption, {TOKENS} tokens, whole process", int4, peer, "caption", unit="s", target=target)
        row(f"picture to caption, {TOKENS} tokens, in process", int4, peer, "caption-inside", "caption", unit="s")
    row("drawing 256 tokens to PNG, whole process", int4, fp32, "draw", unit="s", target=25)
    return result


def shown(seconds, unit, tokens):
    if unit == "tokens/s":
        return f"{tokens / seconds:.{0 if tokens / seconds >= 100 else 1}f} tokens/s"
    return f"{seconds * 1e3:.0f} ms" if unit == "ms" else f"{seconds:.2f} s"


def reached(value, target, at_least=True):
    if target is None:
        return ""
    return "yes" if (value >= target if at_least else value <= target) else "no"


def markdown(report):
    machine, lines = report["machine"], []
    lines.append(
        f"{report['date']}, {report['cpu']}, commit {report['commit']}, {THREADS} thread{'s' * (THREADS > 1)}, {report['kernels']} kernels, "
        f"medians of {report['rounds']} interleaved rounds{', processor time' * CPU_TIME}, load average {report['load']}. "
        f"Machine limits: read bandwidth {machine['read_bytes_per_second'] / 1e9:.1f} GB/s, "
        f"peak {machine['int8_products_per_second'] / 1e9:.0f} GMAC/s int8 and {machine['f32_products_per_second'] / 1e9:.0f} GMAC/s f32; "
        f"a cache line from core to core and back: {machine['core_round_trip_seconds'] * 1e9:.0f} ns.")
    lines += ["", "| work | ours | | peer | | ratio (range) | target | reached |", "|---|---|---|---|---|---|---|---|"]
    for row in report["rows"]:
        ours, peer = (shown(row[f"{side}_seconds"], row["unit"], tokens) for side, tokens in zip(("ours", "peer"), row["tokens"]))
        target = "" if row["target"] is None else f"{row['target']:g}"
        weights = "f16" if row["work"].startswith("image ") else row["ours"].removeprefix("ours ")
        lines.append(
            f"| {row['work']} | {weights} | {ours} | {row['peer']} | {peer} | "
            f"{row['ratio']:.2f} ({row['least']:.2f}-{row['most']:.2f}) | {target} | {reached(row['ratio'], row['target'])} |")
    lines += ["", "| against the machine or a bound | ours | target | reached |", "|---|---|---|---|"]
    for title, value, text, target, bound, at_least in report["bounds"]:
        lines.append(f"| {title} | {text} | {target} | {reached(value, bound, at_least)} |")
    lines += ["", "| peak memory of captioning | MiB | of that after the imports |", "|---|---|---|"]
    for name, memory in report["memory"].items():
        imported = f"{memory['imported_mib']:.0f}" if "imported_mib" in memory else ""
        lines.append(f"| {name} | {memory['peak_mib']:.0f} | {imported} |")
    lines += ["", "| loading, page cache warm | ms |", "|---|---|"]
    lines += [f"| {name} | {1e3 * seconds:.0f} |" for name, seconds in report["loading"].items()]
    lines += ["", *report["notes"]]
    return "\n".join(lines)


def bounds(samples, ours, int4, sides):
    def share(who, stage):
        return median(report["stages"][stage]["of_limit"] for report in who.reports)

    for who in ours:
        value = share(who, "read the picture's tokens")
        yield f"prefill, {who.name}, of peak int8 throughput", value, f"{value:.1%}", "65 %", 0.65, True
    for who in ours:
        for stage in ("token at depth 0", "token after the picture"):
            value = share(who, stage)
            yield f"{stage}, {who.name}, of read bandwidth", value, f"{value:.1%}", "90 %", 0.9, True
    for who in ours:
        value = share(who, "48 sequences, one picture")
        rate = 48 / samples.median(who.name, "many")
        yield f"48 sequences, {who.name}, of peak int8 throughput", value, f"{value:.1%}, {rate:.0f} tokens/s", "60 %", 0.6, True
    peak, start = samples.median(int4.name, "peak_mib"), samples.median(int4.name, "start")
    yield "peak RSS of captioning, int4", peak, f"{peak:.0f} MiB", "256 MiB", 256, False
    yield "process start to first kernel, int4", start, f"{1e3 * start:.1f} ms", "20 ms", 0.020, False
    for side, found in sides.items():
        equal = min(found["equal_to_onnxruntime"], found["equal_to_torch"])
        yield (f"image tokens equal to fp32's, {side} px, {found['pictures']} pictures, {found['codes_seen']} codes", equal, f"{equal:.2%}",
               "98.5 %", 0.985, True)
        least = min(found["psnr_db"])
        yield f"decoded pictures, {side} px, worst PSNR", least, f"{least:.1f} dB", "45 dB", 45, True


def commit():
    """Of the sources here, which the programs were built from."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="folder of 350M/, 350M-int4.gguf, 350M-int8.gguf (default: made in build/peers)")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cpu-time", action="store_true", help="one thread, processor time: for a machine that others use as well")
    parser.add_argument("--quick", action="store_true", help="two rounds; upstream's drawing from nine tokens at three depths")
    parser.add_argument("--output", type=Path, help="the JSON file (default: build/peers/results.json)")
    arguments = parser.parse_args()
    if arguments.cpu_time and not CPU_TIME:
        # The constants of peer.py come from the environment, here as in the children.
        os.environ.update(PEERS_THREADS="1", PEERS_CPU_TIME="1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    work = argparse.Namespace(folder=ROOT / "build" / "peers")
    work.models = (arguments.models or work.folder).resolve()
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    # In a process of its own: this one stays small, because a child's peak memory begins with its parent's.
    subprocess.run([sys.executable, str(HERE / "prepare.py"), str(work.folder), str(work.models)], check=True,
                   env={**os.environ, "PYTHONPATH": str(LLAMA["native"])})

    int4 = Ours("ours int4", work.models / "350M-int4.gguf")
    int8 = Ours("ours int8", work.models / "350M-int8.gguf")
    large = Ours("ours 256 px", work.folder / "256px.gguf")
    q4, q8 = (Peer(f"llama.cpp {kind}", "llama.py", work.folder / f"gpt2-{kind}.gguf") for kind in ("Q4_0", "Q8_0"))
    ct2 = Peer("CTranslate2 int8", "ctranslate.py", work.folder / "ctranslate2")
    onnx = Peer("onnxruntime fp32", "onnx_vqgan.py", work.folder)
    fp32, dynamic = (Peer(name, "upstream.py", work.models / "350M", kind, work.folder)
                     for name, kind in [("upstream fp32", "fp32"), ("upstream dynamic int8", "int8")])
    turns = [int4, q4, int8, q8, ct2, large, onnx, int4, fp32, int4, dynamic]
    has_avx512 = "avx512f" in Path("/proc/cpuinfo").read_text()
    if LLAMA["avx2"].exists():
        for model, kind in [(int4, "Q4_0"), (int8, "Q8_0")]:
            turns += [Ours(model.name + ", AVX2 mask", model.model, cpu="avx2"),
                      Peer(f"llama.cpp {kind}, AVX2 build", "llama.py", work.folder / f"gpt2-{kind}.gguf", path=LLAMA["avx2"])]
    peers = [one for one in turns if isinstance(one, Peer)]
    picture = work.folder / "picture-128-waves.png"

    samples, load = Samples(), os.getloadavg()
    memory = {}
    print("memory of captioning, each in a process of its own", file=sys.stderr)
    for peer in (q4, q8, ct2, fp32, dynamic):
        memory[peer.name] = peer.once("caption")
    loading = {}
    for peer in peers:
        print(f"loading {peer.name}", file=sys.stderr)
        peer.start()
        loading[peer.name] = peer.load
    system = q4.ask("about")["system"]
    for round in range(rounds):
        for one in turns:
            print(f"round {round + 1} of {rounds}: {one.name}          ", end="\r", file=sys.stderr)
            samples.add(one.name, round, one.measure() if isinstance(one, Ours) else one.ask("measure"))
            if one is int4:
                samples.add(one.name, round, one.caption(picture))
        samples.add(int4.name, round, int4.draw(work.folder / "drawn.png"))
        if round == 0:
            samples.add(fp32.name, round, fp32.ask("draw-quick" if arguments.quick else "draw"))
    print(file=sys.stderr)
    sides = quality(work, onnx, fp32)
    for peer in peers:
        peer.stop()

    memory = {"ours int4": {"peak_mib": samples.median(int4.name, "peak_mib")}, **memory}
    loading = {"ours int4: process start to first kernel": samples.median(int4.name, "start"),
               "ours int4: opening the model": samples.median(int4.name, "open"), **loading}
    reports = int4.reports
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
               platform.machine())
    report = {
        "date": datetime.date.today().isoformat(), "commit": commit(), "cpu": cpu, "kernels": reports[0]["kernels"], "rounds": rounds,
        "threads": THREADS,
        "load": f"{load[0]:.1f} before, {os.getloadavg()[0]:.1f} after",
        "machine": {name: median(report["machine"][name] for report in reports) for name in reports[0]["machine"]},
        "rows": rows(samples, has_avx512), "bounds": list(bounds(samples, [int4, int8], int4, sides)),
        "memory": memory, "loading": loading, "quality": sides, "llama_system": system,
        "versions": {name: importlib.metadata.version(name) for name in ("ctranslate2", "onnxruntime", "torch", "gguf", "rudolph")},
        "idle_seconds": {peer.name: peer.idle for peer in peers}, "samples": samples.values,
        "notes": [
            f"Ratios: how many times faster ours is. Prefill: ours and llama.cpp read {READ} tokens after {PROMPT - READ}, logits of "
            f"the last; CTranslate2 and upstream {PROMPT} at once, logits of all; all per token. Upstream's times are in its process, "
            "without loading; its drawing was " + ("extrapolated from nine tokens at three depths." if arguments.quick else "measured once."),
            "llama.cpp attends with or without flash attention, whichever was faster in that row. While others computed, idle peers took "
            f"{sum(peer.idle for peer in peers):.2f} s of processor time in all.",
        ],
    }
    output = arguments.output or work.folder / "results.json"
    output.write_text(json.dumps(report, indent=1, ensure_ascii=False))
    print(markdown(report))
    print(f"written: {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
