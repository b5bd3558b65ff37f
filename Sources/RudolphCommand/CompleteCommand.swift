import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct CompleteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "complete",
        abstract: "Continue a text, and illustrate it if wanted.",
        discussion: """
            Several continuations are drawn (48; one with --greedy), with top-k 64, top-p 0.8 and temperature 0.9 unless said otherwise, \
            and the least perplexing one is printed. With --draw it becomes a picture as well.

            EXAMPLES
              rudolph complete "Из окна открывался вид"
              rudolph complete "Из окна открывался вид" --candidates 16 --all --seed 1
              rudolph complete "Из окна открывался вид" --draw view.png --preview
              rudolph complete "сколько будет дважды два?" --greedy --allowed digits.json
            """)

    @Argument(help: ArgumentHelp("The beginning, in Russian; \"\" for a text from nothing.", valueName: "text"))
    var text: String

    @Option(help: ArgumentHelp("Texts to draw (default: 48; with --greedy: 1).", valueName: "n"))
    var candidates: Int?

    @Option(help: ArgumentHelp(
        "The only tokens that may come: ids with commas between them, or a file with a JSON list of ids, - for standard input. "
            + "Without 3, the end, the text fills its segment.", valueName: "ids|file"), completion: .file(extensions: ["json"]))
    var allowed: String?

    @Option(help: ArgumentHelp("Tokens of a text at most, the beginning included (default: as many as the model's texts have).", valueName: "n"))
    var maxTokens: Int?

    @OptionGroup(title: "Sampling") var sampling: SamplingArguments

    @Option(help: ArgumentHelp("Draw the text and write the picture to this file.", valueName: "file"), completion: .file())
    var draw: String?

    @Flag(help: "Show the picture of --draw in the terminal.")
    var preview = false

    @Flag(help: "Print all different texts, best first, with their perplexities.")
    var all = false

    @Flag(help: "Print a JSON object: {\"prompt\": text, \"text\": text, \"ids\": [...], \"count\": n, \"perplexity\": p, ...}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateCount("--candidates", candidates, atMost: Session.maximumCandidates)
        try validateCount("--max-tokens", maxTokens, atMost: 4096)
        if sampling.greedy, candidates ?? 1 != 1 { throw ValidationError("--greedy gives one text: no --candidates") }
        if preview, draw == nil { throw ValidationError("--preview shows a picture; expected --draw with its file") }
        if sessionOptions.imageArithmetic != nil, draw == nil {
            throw ValidationError("--image-arithmetic is for a picture; expected --draw with its file")
        }
        if let allowed, allowed.contains(","), !allowed.contains("/") { _ = try ids(allowed) }
    }

    func run() throws {
        if let draw { try OutputFile.check(path: draw) }
        var options = CompleteOptions()
        options.candidates = candidates ?? (sampling.greedy ? 1 : options.candidates)
        options.sampling = sampling.sampling(.text)
        options.maximumTokens = maxTokens
        if let allowed { options.allowedTokens = try allowedTokens(allowed) }
        let model = try shared.openModel()
        if draw != nil { try model.requireImageDecoder() }
        try shared.checkRoom(after: text, what: "the text", length: model.configuration.leftTextLength, in: model)
        try shared.checkMaximum(maxTokens, beginningWith: text, "given", in: model)
        let work = Work.continuations(options.candidates, drawing: draw != nil, isShown: preview)
        let session = try shared.openSession(model, sessionOptions, for: work)
        let progress = shared.progress()
        defer { progress.clear() }
        options.seed = shared.seed(sampling)
        let line = GrowingLine(if: options.candidates == 1 && !json, progress)
        defer { line.end() }
        let completions = try running { () throws(RudolphError) in
            try Completer(session).complete(text, options, partial: line.handler, progress: progress.handler)
        }
        guard let best = completions.first else { throw CommandError("the model gave no text") }
        progress.clear()

        // The text is printed whatever becomes of its picture.
        var writer = ResultWriter()
        if !json {
            writer.line(try line.rest(of: best.text))
            if all { writer.lines(of: completions, of: options.candidates) }
            try writer.flush()
        }
        let drawing = Result { try draw.map { try illustrate(best.text, $0, options.seed, session, progress) } }
        progress.clear()
        if json {
            writer.line(object(best, completions, options.seed, try? drawing.get()).text)
            try writer.flush()
        }
        _ = try drawing.get()
    }

    private func object(_ best: Completion, _ completions: [Completion], _ seed: UInt64?, _ drawing: Drawing?) -> JSONObject {
        var object = JSONObject()
        object.set("prompt", text)
        object.set("text", best.text)
        best.describe(in: &object)
        object.set(seed: seed)
        if all { object.set(candidates: completions) }
        if let draw, let drawing {
            object.set("file", draw)
            object.set("tokens", drawing.tokens)
        }
        return object
    }

    private func illustrate(
        _ text: String, _ path: String, _ seed: UInt64?, _ session: Session, _ progress: TaskProgress
    ) throws -> Drawing {
        guard !Tokenizer.lowercasedAndStripped(text).isEmpty else { throw CommandError("the model gave an empty text, which cannot be drawn") }
        var options = DrawOptions()
        options.sampling = sampling.greedy ? .greedy : .image
        options.seed = seed
        let shown = preview ? Preview(session, progress) : nil
        progress.place = "picture: "
        let drawings = try running { () throws(RudolphError) in
            try Drawer(session).draw(text, options, partial: shown.map { shown in { shown.showPartial($1) } }, progress: progress.handler)
        }
        guard let drawing = drawings.first else { throw CommandError("the model gave no picture") }
        let picture = try running { () throws(RudolphError) in try session.image(of: drawing.tokens) }
        try checkInterruption()
        _ = try writePictures([try Picture(picture)], path: path)
        shown?.show(picture)
        return drawing
    }

    private func allowedTokens(_ allowed: String) throws -> [Int] {
        if let id = Int(allowed) { return [id] }
        if allowed.contains(","), !allowed.contains("/") { return try ids(allowed) }
        let (name, bytes) = try readInput(allowed)
        return try decodeIDs(bytes, name: name)
    }

    private func ids(_ text: String) throws -> [Int] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let id = Int(part.filter { $0 != " " }) else {
                throw ValidationError("--allowed is \"\(text)\"; expected ids such as 5,6,7 or a file")
            }
            return id
        }
    }
}
