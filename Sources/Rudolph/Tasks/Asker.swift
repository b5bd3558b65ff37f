/// How a question is to be answered.
public struct AskOptions: Sendable {
    /// Answers to generate, 1 to `Session.maximumCandidates`; the most frequent answer comes first.
    public var candidates = 1
    /// How tokens are chosen; ``SamplingOptions/answer`` draws them as the public instruction model does and `rudolph ask` without `--greedy`.
    public var sampling = SamplingOptions.greedy
    /// The same seed gives the same answers of the same image tokens on every CPU (see ``ImageArithmetic``); nil takes a random one.
    public var seed: UInt64? = nil
    /// The task token of the question; the public instruction model is always asked with the unknown pair.
    public var leftTaskToken = TaskToken.leftUnknown
    /// The task token of the answer.
    public var rightTaskToken = TaskToken.rightUnknown
    /// Tokens of the right text at most; nil for the whole segment.
    public var maximumTokens: Int? = nil

    /// One answer of the most probable tokens.
    public init() {}
}

/// An answer.
public struct Answer: Sendable {
    /// The answer without special tokens, white space at its ends taken off.
    public let text: String
    /// The right-text ids: begin, task token, text, and the end if it was reached.
    public let ids: [Int]
    /// Candidates that gave this text.
    public let count: Int
}

/// As a `PartialTextHandler`, of several answers that grow at the same time: the index of the question, and a piece of its answer.
public typealias PartialAnswerHandler = (_ question: Int, _ piece: Substring) -> Void

/// Answers questions and follows instructions: the question in the left text, a picture or nothing, the answer in the right text.
public struct Asker {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// Different answers to a question about a picture, the most frequent first. Only its centred square is read.
    /// - Parameters:
    ///   - question: or an instruction.
    ///   - image: of any size.
    ///   - options: how to answer; they are checked before the picture is looked at.
    ///   - partial: called with the text of the first candidate as it grows.
    ///   - progress: called as the work advances.
    /// - Throws: for an empty question, options out of range and task tokens that the model has not, where weights are damaged, memory is short or
    ///   the session is in use, and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func ask(
        _ question: String, about image: RGBImage, _ options: AskOptions = AskOptions(), partial: PartialTextHandler? = nil,
        progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Answer] {
        try ask(question, options, partial, progress) { () throws(RudolphError) in
            try report(progress, .encodingImage, 0, 1)
            return try session.imageTokens(of: image)
        }
    }

    /// The same about a picture that is tokens already, or about none.
    /// - Parameters:
    ///   - question: or an instruction.
    ///   - tokens: the picture, as `Session.imageTokens(of:)` gives it; nil leaves its place filled with token 0, as text questions are asked.
    ///   - options: how to answer.
    ///   - partial: called with the text of the first candidate as it grows.
    ///   - progress: called as the work advances.
    /// - Throws: likewise, and for other tokens than the `Configuration.imageLength` codes of a picture.
    public func ask(
        _ question: String, tokens: [Int]? = nil, _ options: AskOptions = AskOptions(), partial: PartialTextHandler? = nil,
        progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Answer] {
        try ask(question, options, partial, progress) { () throws(RudolphError) in tokens ?? noPicture }
    }

    /// - Parameter picture: gives its tokens, when it is known that there can be answers.
    func ask(
        _ question: String, _ options: AskOptions, _ partial: PartialTextHandler?, _ progress: ProgressHandler?,
        about picture: () throws(RudolphError) -> [Int]
    ) throws(RudolphError) -> [Answer] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        let texts = try RightTexts(
            session, left: try leftText(question, options), beginning: try session.rightSegment("", task: options.rightTaskToken),
            candidates: options.candidates, sampling: options.sampling, seed: options.seed, maximumTokens: options.maximumTokens,
            partial: partial)
        let found = try texts.generate(after: try picture(), progress)
        return Session.byCount(found).map { Answer(text: found[$0].text, ids: found[$0].ids, count: found[$0].count) }
    }

    /// One answer to each of several questions, all generated at once; each has a seed of its own, so that its answer does not depend on
    /// the others. Each question takes keys and values of a whole sequence.
    /// - Parameters:
    ///   - questions: each with the tokens of its picture, nil for none.
    ///   - options: how to answer; `candidates` and `seed` are not used.
    ///   - partial: called with the text of each answer as it grows.
    ///   - progress: called as the work advances.
    /// - Throws: as `ask`.
    public func askEach(
        _ questions: [(question: String, tokens: [Int]?, seed: UInt64)], _ options: AskOptions = AskOptions(),
        partial: PartialAnswerHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Answer] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        let configuration = session.model.configuration
        try options.sampling.validate()
        let generation = try TextGeneration(
            session, beginning: try session.rightSegment("", task: options.rightTaskToken),
            at: configuration.rightTextStart..<configuration.sequenceLength, maximumTokens: options.maximumTokens, sampling: options.sampling,
            rows: configuration.textTokenRows)
        var caches: [KeyValueCache] = []
        var sequences: [TextGeneration.Sequence] = []
        var first: [[Float]] = []
        for (index, entry) in questions.enumerated() {
            let left = try leftText(entry.question, options)
            let image = entry.tokens ?? noPicture
            try configuration.validate(imageTokens: image)
            let cache = try session.cache(start: 0, .positions(capacity: configuration.rightTextStart + generation.length))
            caches.append(cache)
            let logits = try session.logits(after: left + image + generation.prompt, from: 0, into: cache, head: generation.head, progress)
            first.append([Float](logits[0]))
            sequences.append(
                TextGeneration.Sequence(
                    generator: RandomGenerator(seed: entry.seed), cache: index, prefix: index, first: index,
                    partial: partial.map { partial in { partial(index, $0) } }))
        }
        let texts = try generation.run(sequences, caches: caches, first: first, progress)
        return texts.flatMap { generation.counted([$0]) }.map { Answer(text: $0.text, ids: $0.ids, count: 1) }
    }

    private func leftText(_ question: String, _ options: AskOptions) throws(RudolphError) -> [Int] {
        guard !Tokenizer.lowercasedAndStripped(question).isEmpty else { throw RudolphError("an empty question") }
        return try session.leftSegment(question, task: options.leftTaskToken)
    }

    /// What stands in a picture's place where there is none.
    var noPicture: [Int] { [Int](repeating: 0, count: session.model.configuration.imageLength) }
}
