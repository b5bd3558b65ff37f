import ArgumentParser
import CommandSupport
import Rudolph

struct AskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask",
        abstract: "Ask a question about a picture or a text, or give an instruction.",
        discussion: """
            The question is the model's left text and the answer its right text. Given --text there is no picture: context and question \
            are one text. Answers are drawn with top-k 32, top-p 0.8 and temperature 1 unless said otherwise; --greedy gives the most \
            probable one. Only the central square of a picture is read.

            EXAMPLES
              rudolph ask photo.jpg "что на картинке?" --greedy
              rudolph ask photo.jpg "какого цвета машина?" --candidates 16 --all
              rudolph ask --text "в корзине три яблока. сколько яблок в корзине?"
              rudolph ask --text "..." --left-task LT_TQA --right-task RT_TQA
            """)

    @Argument(help: ArgumentHelp("A PNG or JPEG file (- reads standard input) and a question; nothing with --text.",
        valueName: "image question"), completion: .file())
    var inputs: [String] = []

    @Option(help: ArgumentHelp("A context and a question, or an instruction, without a picture.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("The question's task token, with or without its angle brackets.", valueName: "name"))
    var leftTask = TaskToken.leftUnknown

    @Option(help: ArgumentHelp("The answer's task token.", valueName: "name"))
    var rightTask = TaskToken.rightUnknown

    @Option(help: ArgumentHelp("Answers to draw; the most frequent one comes first.", valueName: "n"))
    var candidates = 1

    @Option(help: ArgumentHelp("Tokens of a text at most (default: as many as the model's texts have).", valueName: "n"))
    var maxTokens: Int?

    @OptionGroup(title: "Sampling") var sampling: SamplingArguments

    @Flag(help: "Print all different answers, the most frequent first, with how often each was drawn.")
    var all = false

    @Flag(help: "Print a JSON object: {\"image\": path, \"question\": text, \"answer\": text, \"ids\": [...], \"count\": n, ...}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if let text {
            guard inputs.isEmpty else { throw ValidationError("--text takes no picture and no other question; found \(inputs.count)") }
            if sessionOptions.imageArithmetic != nil { throw ValidationError("--text takes no picture: no --image-arithmetic") }
            try validateText("the text of --text", text)
        } else {
            guard inputs.count == 2 else { throw ValidationError("Expected a picture and a question, or --text; found \(inputs.count) arguments") }
            try validateText("the question", inputs[1])
        }
        try validateCount("--candidates", candidates, atMost: Session.maximumCandidates)
        try validateCount("--max-tokens", maxTokens, atMost: 4096)
        if sampling.greedy, candidates != 1 { throw ValidationError("--greedy gives one answer: no --candidates") }
    }

    func run() throws {
        let model = try shared.openModel()
        var options = AskOptions()
        options.candidates = candidates
        options.maximumTokens = maxTokens
        options.sampling = sampling.sampling(.answer)
        options.leftTaskToken = try taskToken(leftTask, in: model)
        options.rightTaskToken = try taskToken(rightTask, in: model)
        try shared.checkMaximum(maxTokens, beginningWith: "", in: model)
        let session = try shared.openSession(model, sessionOptions, for: .texts(candidates))
        let progress = shared.progress()
        defer { progress.clear() }
        let question = text ?? inputs[1]
        shared.warnIfCut(question, what: "the question", length: model.configuration.leftTextLength, in: model)
        options.seed = shared.seed(sampling)
        var tokens: [Int]?
        if text == nil {
            progress.show("encoding image")
            let image = try readImage(inputs[0])
            tokens = try naming(inputs[0]) { () throws(RudolphError) in try session.imageTokens(of: image) }
            session.releaseImageEncoder()
        }
        let line = GrowingLine(if: candidates == 1 && !json, progress)
        defer { line.end() }
        let answers = try running { () throws(RudolphError) in
            try Asker(session).ask(question, tokens: tokens, options, partial: line.handler, progress: progress.handler)
        }
        progress.clear()
        guard let best = answers.first else { throw CommandError("the model gave no answer") }
        var writer = ResultWriter()
        if json {
            var object = JSONObject()
            if text == nil { object.set("image", inputs[0]) }
            object.set("question", question)
            object.set("answer", best.text)
            best.describe(in: &object)
            object.set(seed: options.seed)
            if all { object.set(candidates: answers) }
            writer.line(object.text)
        } else {
            writer.line(try line.rest(of: best.text))
            if all { writer.lines(of: answers, of: candidates) }
        }
        try writer.flush()
    }
}

/// A task token's full name, which the model has.
func taskToken(_ name: String, in model: Model) throws(CommandError) -> String {
    let full = name.hasPrefix("<") ? name : "<\(name)>"
    let known = model.configuration.taskTokens
    // Models of the first release have none at all, and are asked without.
    guard known.contains(where: { $0.name == full }) || (known.isEmpty && full.hasSuffix("_UNK>")) else {
        let names = known.map { $0.name }.joined(separator: ", ")
        throw CommandError("\(model.path): unknown task token \(full); expected \(names.isEmpty ? "none, this model has none" : "one of \(names)")")
    }
    return full
}
