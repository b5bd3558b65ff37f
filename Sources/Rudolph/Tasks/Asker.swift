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
        let question = Tokenizer.lowercasedAndStripped(question)
        guard !question.isEmpty else { throw RudolphError("an empty question") }
        let found = try session.rightTexts(
            left: try session.segment(
                question, task: options.leftTaskToken, length: configuration.leftTextLength, isPadded: true),
            image: imageTokens ?? [Int](repeating: 0, count: configuration.imageLength),
            beginning: try session.segment(
                "", task: options.rightTaskToken, length: configuration.rightTextLength, isPadded: false),
            candidates: options.candidates, sampling: options.sampling, seed: options.seed, maximumTokens: options.maximumTokens, progress)
        return Session.byCount(found).map { Answer(text: found[$0].text, ids: found[$0].ids, count: found[$0].count) }
    }
}
