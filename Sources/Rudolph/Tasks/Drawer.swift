import CPlatform

/// How a text is to be drawn.
public struct DrawOptions: Sendable {
    /// Pictures to return, 1 to `Session.maximumCandidates`.
    public var count = 1
    /// Pictures to draw, `count` to `Session.maximumCandidates`; when these are more than `count`, the best are chosen by how well they explain the
    /// text. nil draws `count`.
    public var candidates: Int? = nil
    /// How image tokens are chosen.
    public var sampling = SamplingOptions.image
    /// Another prompt that is mixed in; nil for none.
    public var guidance: Guidance? = nil
    /// What to keep of a given picture.
    public var prompt: ImagePrompt? = nil
    /// The same seed gives the same image tokens on every CPU, and pictures but for ``ImageArithmetic/fast``; nil takes a random one.
    public var seed: UInt64? = nil
    /// Pictures drawn at the same time, 1 to `Session.maximumBatch`; each needs keys and values of its own.
    public var batch = 8
    /// The task token of the text.
    public var taskToken = TaskToken.textToImage

    /// One picture, as the reference draws it.
    public init() {}
}

/// A picture drawn from a text.
public struct Drawing: Sendable {
    /// `Configuration.imageLength` image tokens, row by row; `Session.image(of:)` turns them into pixels.
    public let tokens: [Int]
    /// Smaller is better; nil when nothing was ranked.
    public let score: Float?
    /// Perplexities of the text given the picture, and of the picture; nil when nothing was ranked.
    public let textPerplexity, imagePerplexity: Float?
}

/// Called when another row of tokens is there for each picture of a batch: the index of the first of them among all that are drawn,
/// and their tokens so far. It may use the session for pictures (`image(of:)`, `imageTokens(of:)` and what frees their buffers) and its `stop` flag;
/// tasks and `logits(of:_:)` throw an error of kind ``RudolphError/Kind-swift.enum/inUse``.
public typealias PartialDrawingHandler = (_ first: Int, _ pictures: [[Int]]) -> Void

/// Draws pictures from texts.
public struct Drawer {
    /// What its tasks run on.
    public let session: Session

    /// Tasks that run on `session`.
    public init(_ session: Session) {
        self.session = session
    }

    /// Drawings of a text, best first when they were ranked.
    /// - Throws: for an empty text, options out of range, a prompt that was made with a model of other pictures and task tokens that the model
    ///   has not, where weights are damaged or memory is short, and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func draw(
        _ text: String, _ options: DrawOptions = DrawOptions(), partial: PartialDrawingHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Drawing] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        return try drawings(of: text, options, partial, progress)
    }

    /// The same within another task.
    func drawings(
        of text: String, _ options: DrawOptions, _ partial: PartialDrawingHandler?, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [Drawing] {
        let candidates = options.candidates ?? options.count
        guard options.count >= 1, candidates >= options.count, candidates <= Session.maximumCandidates else {
            throw RudolphError(
                "\(options.count) pictures of \(candidates) candidates, expected 1 or more, and at most \(Session.maximumCandidates) candidates")
        }
        let seed = options.seed ?? rp_random_seed()
        let drawn = try draw(
            [String](repeating: text, count: candidates), (0..<candidates).map { RandomGenerator(seed: seed, stream: $0) }, options, partial,
            progress)
        guard candidates > options.count else {
            return drawn.map { Drawing(tokens: $0, score: nil, textPerplexity: nil, imagePerplexity: nil) }
        }
        let ranked = try Ranker(session).rank(drawn, by: text, progress: progress)
        return ranked.prefix(options.count).map {
            Drawing(tokens: drawn[$0.index], score: $0.score, textPerplexity: $0.textPerplexity, imagePerplexity: $0.imagePerplexity)
        }
    }

    /// One drawing's tokens for each of several texts, `options.batch` of them at the same time. Each has a seed of its own, so that its
    /// picture does not depend on the others; `count`, `candidates` and `seed` of the options are not used.
    /// - Throws: as `draw`.
    public func drawEach(
        _ texts: [(text: String, seed: UInt64)], _ options: DrawOptions = DrawOptions(), progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [[Int]] {
        try session.tasks.take()
        defer { session.tasks.giveBack() }
        return try tokens(ofEach: texts, options, progress)
    }

    /// The same within another task.
    func tokens(
        ofEach texts: [(text: String, seed: UInt64)], _ options: DrawOptions, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        try draw(texts.map { $0.text }, texts.map { RandomGenerator(seed: $0.seed, stream: 0) }, options, nil, progress)
    }

    private func draw(
        _ texts: [String], _ generators: [RandomGenerator], _ options: DrawOptions, _ partial: PartialDrawingHandler?,
        _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        try options.sampling.validate()
        guard (1...Session.maximumBatch).contains(options.batch) else {
            throw RudolphError("a batch of \(options.batch), expected 1 to \(Session.maximumBatch)")
        }
        if let guidance = options.guidance {
            guard guidance.weight >= 0, guidance.weight <= 1 else {
                throw RudolphError("a guidance weight of \(Double(guidance.weight)), expected 0 to 1")
            }
        }
        if let prompt = options.prompt { try validate(prompt) }
        var normalized: [String] = []
        for text in texts {
            let text = Tokenizer.lowercasedAndStripped(text)
            guard !text.isEmpty else { throw RudolphError("an empty text to draw") }
            normalized.append(text)
        }
        var drawn: [[Int]] = []
        while drawn.count < texts.count {
            let range = drawn.count..<min(drawn.count + options.batch, texts.count)
            drawn += try batch(
                [String](normalized[range]), [RandomGenerator](generators[range]), options, first: range.lowerBound, total: texts.count,
                partial, progress)
        }
        return drawn
    }

    /// Throws unless each token of the prompt is one of this model's or to be drawn.
    private func validate(_ prompt: ImagePrompt) throws(RudolphError) {
        let configuration = session.model.configuration
        guard prompt.tokens.count == configuration.imageLength else {
            throw RudolphError(
                "an image prompt of \(prompt.tokens.count) tokens, expected \(configuration.imageLength): it was made with another model")
        }
        try configuration.validate(imageTokens: prompt.tokens.map { $0 ?? 0 })
    }

    /// Draws one picture for each text, all of them at once.
    private func batch(
        _ texts: [String], _ streams: [RandomGenerator], _ options: DrawOptions, first: Int, total: Int,
        _ partial: PartialDrawingHandler?, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let head = Transformer.Head.image(rows: configuration.imageVocabularySize)
        var batch = try Batch(texts, options, head, session, progress)
        let count = texts.count, isGuided = batch.isGuided, sequencesEach = batch.sequencesEach
        let samplers = Samplers(
            options.sampling, logits: configuration.imageVocabularySize, isGuided: isGuided, threads: session.threads)
        // What workers write to at the same time: each picture's generator and its next token.
        let generators = UnsafeMutablePointer<RandomGenerator>.allocate(capacity: count)
        for (picture, stream) in streams.enumerated() { (generators + picture).initialize(to: stream) }
        let chosen = UnsafeMutablePointer<Int>.allocate(capacity: count)
        chosen.initialize(repeating: 0, count: count)
        defer {
            generators.deallocate()
            chosen.deallocate()
        }
        func choose(
            for picture: Int, _ sampler: inout Sampler, _ own: UnsafeMutableBufferPointer<Float>, _ other: UnsafeMutableBufferPointer<Float>?
        ) {
            if let guidance = options.guidance, let other {
                chosen[picture] = sampler.next(own, guidedBy: other, guidance, &generators[picture])
            } else {
                chosen[picture] = sampler.next(own, &generators[picture])
            }
        }
        var pictures = [[Int]](repeating: [], count: count)
        for picture in pictures.indices { pictures[picture].reserveCapacity(configuration.imageLength) }
        try report(progress, .generating, first * configuration.imageLength, total * configuration.imageLength)
        for index in 0..<configuration.imageLength {
            if let partial, index > 0, index % configuration.imageTokensPerSide == 0 { partial(first, pictures) }
            // Kept tokens go through the transformer together, when one is drawn that sees them: after the last one that is drawn none do.
            if let kept = options.prompt.flatMap({ $0.tokens[index] }) {
                chosen.update(repeating: kept, count: count)
            } else if index == 0 {
                for picture in 0..<count {
                    batch.withFirstLogits(of: picture) { own, other in
                        samplers.forEach(1) { sampler, _ in choose(for: picture, &sampler, own, other) }
                    }
                }
            } else {
                let logits = try batch.read(pictures, head, session) { (read) throws(RudolphError) in
                    try report(
                        progress, .generating, first * configuration.imageLength + read * count, total * configuration.imageLength)
                }
                samplers.forEach(count) { sampler, picture in
                    let sequence = picture * sequencesEach
                    choose(for: picture, &sampler, logits[sequence], isGuided ? logits[sequence + 1] : nil)
                }
            }
            for picture in 0..<count { pictures[picture].append(chosen[picture]) }
        }
        return pictures
    }
}

/// The sequences of pictures that are drawn at the same time: one for each picture, or two when there is guidance, after its text and after
/// the other prompt.
private struct Batch {
    /// First those of the prompts, each different one read once; then one for each sequence.
    private(set) var caches: [KeyValueCache] = []
    private var promptCount = 0
    /// Which prompt is each picture's text.
    private var textOfPicture: [Int] = []
    private var otherPrompt: Int? = nil
    /// Logits of the first image token after each prompt.
    private var firstLogits: [[Float]] = []
    /// Where the image starts.
    private let start: Int
    /// Tokens of each picture that went through the transformer.
    private var tokensRead = 0
    // Kept from pass to pass.
    private var rows: [Transformer.Row] = []
    private var wanted: [Int] = []

    var isGuided: Bool { otherPrompt != nil }
    var sequencesEach: Int { isGuided ? 2 : 1 }

    init(
        _ texts: [String], _ options: DrawOptions, _ head: Transformer.Head, _ session: Session, _ progress: ProgressHandler?
    ) throws(RudolphError) {
        start = session.model.configuration.leftTextLength
        session.forgetLeftText()
        var different: [String] = []
        for text in texts {
            if let index = different.firstIndex(of: text) {
                textOfPicture.append(index)
            } else {
                textOfPicture.append(different.count)
                different.append(text)
                try read(text, options.taskToken, head, session, progress)
            }
        }
        if let guidance = options.guidance {
            otherPrompt = caches.count
            try read(guidance.prompt, TaskToken.leftUnknown, head, session, progress)
        }
        promptCount = caches.count
        for _ in 0..<(texts.count * sequencesEach) { caches.append(try session.cache(start: start, .drawing)) }
    }

    private mutating func read(
        _ text: String, _ task: String, _ head: Transformer.Head, _ session: Session, _ progress: ProgressHandler?
    ) throws(RudolphError) {
        let left = try session.leftSegment(text, task: task)
        let cache = caches.isEmpty ? session.prefix : try session.cache(start: 0, .positions(capacity: start))
        caches.append(cache)
        firstLogits.append([Float](try session.logits(after: left, from: 0, into: cache, head: head, progress)[0]))
    }

    /// Computes the tokens that each picture has beyond those that were read; there is one at least.
    /// - Parameter advance: called before each pass with the tokens that will have been read after it.
    /// - Returns: logits after the last ones, for each sequence of each picture.
    mutating func read(
        _ pictures: [[Int]], _ head: Transformer.Head, _ session: Session, _ advance: (_ read: Int) throws(RudolphError) -> Void
    ) throws(RudolphError) -> Transformer.Logits {
        let transformer = session.transformer
        let count = pictures.first?.count ?? 0
        let sequences = pictures.count * sequencesEach
        while true {
            let end = min(count, tokensRead + min(transformer.ringTokensAtOnce(from: tokensRead), transformer.maximumRows / sequences))
            try advance(end)
            rows.removeAll(keepingCapacity: true)
            wanted.removeAll(keepingCapacity: true)
            for (picture, tokens) in pictures.enumerated() {
                for sequence in 0..<sequencesEach {
                    for index in tokensRead..<end {
                        rows.append(
                            Transformer.Row(
                                token: tokens[index], position: start + index, cache: promptCount + picture * sequencesEach + sequence,
                                prefix: sequence == 0 ? textOfPicture[picture] : otherPrompt ?? 0))
                    }
                    if end == count { wanted.append(rows.count - 1) }
                }
            }
            tokensRead = end
            let logits = try transformer.pass(rows, caches: caches, wanted: wanted, head: head)
            if end == count { return logits }
        }
    }

    /// Calls `body` with copies of the first token's logits, after the picture's text and after the other prompt.
    func withFirstLogits(
        of picture: Int, _ body: (UnsafeMutableBufferPointer<Float>, UnsafeMutableBufferPointer<Float>?) -> Void
    ) {
        var own = firstLogits[textOfPicture[picture]]
        var other = otherPrompt.map { firstLogits[$0] } ?? []
        own.withUnsafeMutableBufferPointer { own in
            other.withUnsafeMutableBufferPointer { body(own, isGuided ? $0 : nil) }
        }
    }
}
