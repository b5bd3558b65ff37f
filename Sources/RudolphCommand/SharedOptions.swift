import ArgumentParser
import CommandSupport
import Rudolph

/// What every command takes.
struct SharedOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The model file (default: $RUDOLPH_MODEL, else the bundled demonstration model).", valueName: "file"),
        completion: .file(extensions: ["gguf"]))
    var model: String?

    @Flag(help: "Say nothing on standard error but errors.")
    var quiet = false

    func validate() throws {
        try InstructionSet.validateChoice()
    }

    /// Opens the chosen model; without --model, says on standard error which it is.
    func openModel() throws -> Model {
        let choice = try ModelChoice(option: model)
        if let reason = choice.reason, !quiet { note("model: \(choice.path) (\(reason))") }
        if let warning = InstructionSet.warning, !quiet { note("Warning: \(warning)") }
        return try Model(path: choice.path)
    }

    /// Opens a session, which Ctrl-C stops. Where the memory for the work is not there, says so on standard error.
    func openSession(
        _ model: Model, threads: Int?, precision: ActivationPrecision? = nil, imageArithmetic: ImageArithmetic? = nil,
        keyValueFormat: KeyValueFormat? = nil, for work: Work
    ) throws -> Session {
        let keyValueFormat = keyValueFormat ?? .standard(for: model.weightType)
        let summary = model.summary(threads: threads, precision: precision, imageArithmetic: imageArithmetic, keyValueFormat: keyValueFormat)
        if !quiet, let warning = work.memoryWarning(model, summary, keyValueFormat) { note("Warning: \(warning)") }
        let session = try Session(
            model, threads: threads, precision: precision, imageArithmetic: imageArithmetic, keyValueFormat: keyValueFormat)
        stopOnInterrupt(session)
        return session
    }

    func openSession(_ model: Model, _ options: SessionOptions, for work: Work) throws -> Session {
        try openSession(
            model, threads: options.threads, precision: options.precision, imageArithmetic: options.imageArithmetic,
            keyValueFormat: options.keyValueFormat, for: work)
    }

    /// Says on standard error that only the beginning of a text fits its segment, where that is so.
    /// - Parameter length: positions of the segment, of which begin and task token take the first.
    func warnIfCut(_ text: String, what: String, length: Int, in model: Model) {
        guard !quiet else { return }
        let (count, room) = tokens(of: text, length: length, in: model)
        if count > room { note("Warning: \(what) has \(count) tokens; only the first \(room) fit, the rest is cut") }
    }

    /// Throws where nothing could come after a text in its segment.
    func checkRoom(after text: String, what: String, length: Int, in model: Model) throws(CommandError) {
        let (count, room) = tokens(of: text, length: length, in: model)
        guard count < room else { throw CommandError("\(what) has \(count) tokens; expected at most \(room - 1), which leave room for more text") }
    }

    /// Throws where --max-tokens ends a text no later than `text`, which it begins with.
    func checkMaximum(_ maxTokens: Int?, beginningWith text: String, _ what: String? = nil, in model: Model) throws(CommandError) {
        guard let maxTokens else { return }
        let count = tokens(of: text, length: 0, in: model).count
        let all = count + frameLength(in: model)
        guard maxTokens <= all else { return }
        let share = what.map { "; \(count) of them are \($0)" } ?? ""
        throw CommandError("--max-tokens is \(maxTokens); expected at least \(all + 1): the text begins with \(all) tokens\(share)")
    }

    /// Begin and task token, which every text begins with.
    private func frameLength(in model: Model) -> Int {
        model.configuration.taskTokens.isEmpty ? 1 : 2
    }

    private func tokens(of text: String, length: Int, in model: Model) -> (count: Int, room: Int) {
        let count = model.tokenizer.encode(Tokenizer.lowercasedAndStripped(text)).count
        return (count, length - frameLength(in: model))
    }

    /// A line for progress, where there is a terminal to see it.
    func progress() -> TaskProgress {
        TaskProgress(ProgressLine(isShown: !quiet && standardErrorIsTerminal()))
    }
}

struct ThreadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Threads to use (default: one for each physical core that the process may use).", valueName: "n"))
    var threads: Int?

    func validate() throws { try validateCount("--threads", threads, atMost: Session.maximumThreads) }
}

/// What commands take that use the transformer.
struct TransformerOptions: ParsableArguments {
    @Option(
        name: .customLong("activations"),
        help: ArgumentHelp(
            """
            How finely what int8 weights multiply is quantized: int8, fastest, mixed, 16 bits where 8 err most, or int16 (default: int8; other \
            weights know one way only).
            """, valueName: "bits"))
    var precision: ActivationPrecision?

    @Option(
        name: .customLong("kv"),
        help: ArgumentHelp(
            """
            How keys and values are kept: f16, or int8 in about half the memory and a little less exact (default: int8 for int4 and int8 \
            models, else f16).
            """, valueName: "format"))
    var keyValueFormat: KeyValueFormat?
}

/// What commands take that use the image tokenizer.
struct ImageOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            How pictures become tokens and back: fast, which on most x86-64 processors rounds to 16-bit integers, winograd, the same on every \
            processor, or direct (default: fast for int8 and int4 models, else winograd).
            """, valueName: "way"))
    var imageArithmetic: ImageArithmetic?
}

/// What commands take that use the whole model.
struct SessionOptions: ParsableArguments {
    @OptionGroup private var threadOptions: ThreadOptions
    @OptionGroup private var transformerOptions: TransformerOptions
    @OptionGroup private var imageOptions: ImageOptions

    var threads: Int? { threadOptions.threads }
    var precision: ActivationPrecision? { transformerOptions.precision }
    var keyValueFormat: KeyValueFormat? { transformerOptions.keyValueFormat }
    var imageArithmetic: ImageArithmetic? { imageOptions.imageArithmetic }
}

/// Options whose value is one of a few names.
protocol NamedChoice: ExpressibleByArgument, CaseIterable {
    var name: String { get }
}

extension NamedChoice {
    public init?(argument: String) {
        guard let choice = Self.allCases.first(where: { $0.name == argument }) else { return nil }
        self = choice
    }

    public var defaultValueDescription: String { name }
    public static var allValueStrings: [String] { allCases.map(\.name) }
}

extension ActivationPrecision: NamedChoice {}
extension KeyValueFormat: NamedChoice {}
extension ImageArithmetic: NamedChoice {}
