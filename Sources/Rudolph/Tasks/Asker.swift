import CPlatform

/// How a question is to be answered.
public struct AskOptions: Sendable {
    /// Candidates; the most frequent answer comes first.
    public var candidates = 1
    public var sampling = SamplingOptions.greedy
    public var seed: UInt64? = nil
    /// Task tokens of the question and of the answer; the public instruction model is always asked with the unknown pair.
    public var leftTaskToken = "<LT_UNK>"
    public var rightTaskToken = "<RT_UNK>"
    /// Tokens of the right text at most; nil for the whole segment.
    public var maximumTokens: Int? = nil

    public init() {}
}

/// An answer.
public struct Answer: Sendable {
    public let text: String
    /// The right-text ids: begin, task token, text, and the end if it was reached.
    public let ids: [Int]
    public let count: Int
}

/// Answers questions and follows instructions: the question in the left text, a picture or nothing, the answer in the right text.
public struct Asker {
    public let session: Session

    public init(_ session: Session) {
        self.session = session
    }

    /// - Parameter imageTokens: the picture that the question is about; nil leaves its place filled with token 0, as text questions
    ///   are asked.
    public func ask(
        _ question: String, about imageTokens: [Int]?, _ options: AskOptions = AskOptions(), progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Answer] {
        let configuration = session.model.configuration
        try options.sampling.validate()
        guard (1...4096).contains(options.candidates) else {
            throw RudolphError("\(options.candidates) candidates, expected 1 to 4096")
        }
        let question = Tokenizer.lowercasedAndStripped(question)
        guard !question.isEmpty else { throw RudolphError("an empty question") }
        let tokens = imageTokens ?? [Int](repeating: 0, count: configuration.imageLength)
        try session.validate(imageTokens: tokens)
        let left = try session.segment(question, task: options.leftTaskToken, length: configuration.leftTextLength, isPadded: true)
        var prompt = try session.segment("", task: options.rightTaskToken, length: configuration.rightTextLength, isPadded: false)
        if prompt.last == session.model.tokenizer.endID { prompt.removeLast() }
        let length = min(configuration.rightTextLength, options.maximumTokens ?? .max)
        guard length > prompt.count else { throw RudolphError("\(length) tokens leave no room for an answer") }
        let rows = configuration.textRows - configuration.leftTextLength
        try session.readLeftText(left, progress)
        guard let logits = try session.read(tokens + prompt, from: left.count, head: .text(rows: rows), progress) else {
            throw RudolphError("no token to read")
        }
        let start = configuration.rightTextStart
        let generation = TextGeneration(
            session: session, sampling: options.sampling, seed: options.seed ?? rp_random_seed(),
            positions: (start + prompt.count)..<(start + length), rows: rows, allowed: nil)
        let found = session.counted(try generation.run(candidates: options.candidates, first: logits, progress), after: prompt, length: length)
        let order = found.indices.sorted { found[$0].count > found[$1].count || (found[$0].count == found[$1].count && $0 < $1) }
        return order.map { Answer(text: found[$0].text, ids: found[$0].ids, count: found[$0].count) }
    }
}
