/// How a text is to be continued.
public struct CompleteOptions: Sendable {
    /// Texts to generate, 1 to `Session.maximumCandidates`; equal ones are counted, and they are ranked by perplexity.
    public var candidates = 48
    /// How tokens are chosen.
    public var sampling = SamplingOptions.text
    /// The only ids that may be generated; nil allows all.
    public var allowedTokens: [Int]? = nil
    /// The same seed gives the same texts on every CPU; nil takes a random one.
    public var seed: UInt64? = nil
    /// Tokens of the left text at most; nil for the whole segment.
    public var maximumTokens: Int? = nil
    /// The task token that the text begins with.
    public var taskToken = TaskToken.textToText

    /// The reference's choice: 48 candidates.
    public init() {}
}

/// A continued text.
public struct Completion: Sendable {
    /// The whole text, beginning with what was given.
    public let text: String
    /// The left-text ids: begin, task token, text, and the end if it was reached.
    public let ids: [Int]
    /// Candidates that gave this text.
    public let count: Int
    /// Smaller is better.
    public let perplexity: Float
}

/// Continues texts: RUDOLPH as a plain language model, in the left segment.
public struct Completer {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// Continuations of a text, the least perplexing first.
    /// - Parameters:
    ///   - text: what they begin with; empty for texts from nothing.
    ///   - options: how to continue it.
    ///   - partial: called with the text of the first candidate as it grows, what it begins with included.
    ///   - progress: called as the work advances.
    /// - Throws: for a text that leaves no room, options out of range and a task token that the model has not, where weights are damaged, memory
    ///   is short or the session is in use, and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func complete(
        _ text: String, _ options: CompleteOptions = CompleteOptions(), partial: PartialTextHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Completion] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        let configuration = session.model.configuration
        try options.sampling.validate()
        try Session.validate(candidates: options.candidates)
        // As in the reference all text rows can be drawn here; those of the pads end the text. Perplexities count without them.
        let drawnRows = configuration.textRows
        let rows = configuration.textTokenRows
        if let allowed = options.allowedTokens {
            guard !allowed.isEmpty else { throw RudolphError("an empty list of allowed tokens") }
            for id in allowed where !(0..<drawnRows).contains(id) { throw RudolphError("allowed token \(id), expected 0 to \(drawnRows - 1)") }
        }
        let generation = try TextGeneration(
            session, beginning: try session.leftSegment(text, task: options.taskToken, isPadded: false), at: 0..<configuration.leftTextLength,
            maximumTokens: options.maximumTokens, sampling: options.sampling, rows: drawnRows, allowed: options.allowedTokens)
        session.forgetLeftText()
        let first = try session.logits(after: generation.prompt, from: 0, head: generation.head, progress)
        var found = try generation.run(candidates: options.candidates, seed: options.seed, first: first, partial, progress)
        Session.removeEmpty(from: &found)

        var segments: [[Int]] = []
        for entry in found { segments.append(try session.leftSegment(entry.text, task: options.taskToken, isPadded: false)) }
        session.forgetLeftText()
        let perplexities = try session.perplexities(of: segments, at: 0, head: .text(rows: rows)) { (done) throws(RudolphError) in
            try report(progress, .ranking, done, found.count)
        }
        let completions = found.indices.map { index in
            let entry = found[index]
            return Completion(text: entry.text, ids: entry.ids, count: entry.count, perplexity: perplexities[index].value)
        }
        return Ranking.order(of: completions.map { $0.perplexity }).map { completions[$0] }
    }
}
