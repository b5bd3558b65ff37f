import CPlatform

/// How a text is to be drawn.
public struct DrawOptions: Sendable {
    /// Pictures to return.
    public var count = 1
    /// Pictures to draw; when these are more than `count`, the best are chosen by how well they explain the text.
    public var candidates: Int? = nil
    public var sampling = SamplingOptions.image
    public var guidance: Guidance? = nil
    /// What to keep of a given picture.
    public var prompt: ImagePrompt? = nil
    /// The same seed gives the same pictures on every CPU; nil takes a random one.
    public var seed: UInt64? = nil
    /// Pictures drawn at the same time; each needs keys and values of its own.
    public var batch = 8
    public var taskToken = "<LT_T2I>"

    public init() {}
}

/// A picture drawn from a text.
public struct Drawing: Sendable {
    /// m * m image tokens; `Session.image(of:)` turns them into pixels.
    public let tokens: [Int]
    /// Smaller is better; nil when nothing was ranked.
    public let score: Float?
    /// Perplexities of the text given the picture, and of the picture; nil when nothing was ranked.
    public let textPerplexity, imagePerplexity: Float?
}

/// Called when another row of tokens is there for each picture of a batch: the index of the first of them among all that are drawn,
/// and their tokens so far.
public typealias PartialDrawingHandler = (_ first: Int, _ pictures: [[Int]]) -> Void

/// Draws pictures from texts.
public struct Drawer {
    public let session: Session

    public init(_ session: Session) {
        self.session = session
    }

    /// Drawings of a text, best first when they were ranked.
    public func draw(
        _ text: String, _ options: DrawOptions = DrawOptions(), partial: PartialDrawingHandler? = nil, progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [Drawing] {
        let candidates = options.candidates ?? options.count
        guard options.count >= 1, candidates >= options.count, candidates <= 4096 else {
            throw RudolphError("\(options.count) pictures of \(candidates) candidates, expected 1 or more, and at most 4096 candidates")
        }
        let seed = options.seed ?? rp_random_seed()
        let drawn = try draw(
            [String](repeating: text, count: candidates), (0..<candidates).map { RandomGenerator(seed: seed, stream: $0) }, options, partial,
            progress)
        guard candidates > options.count else {
            return drawn.map { Drawing(tokens: $0, score: nil, textPerplexity: nil, imagePerplexity: nil) }
        }
        let ranked = try Ranker(session).ranked(drawn, by: Tokenizer.lowercasedAndStripped(text), progress: progress)
        return [Drawing](ranked.prefix(options.count))
    }

    /// One drawing's tokens for each of several texts, `options.batch` of them at the same time. Each has a seed of its own, so that its
    /// picture does not depend on the others; `count`, `candidates` and `seed` of the options are not used.
    public func drawEach(
        _ texts: [(text: String, seed: UInt64)], _ options: DrawOptions = DrawOptions(), progress: ProgressHandler? = nil
    ) throws(RudolphError) -> [[Int]] {
        try draw(texts.map { $0.text }, texts.map { RandomGenerator(seed: $0.seed, stream: 0) }, options, nil, progress)
    }

    private func draw(
        _ texts: [String], _ generators: [RandomGenerator], _ options: DrawOptions, _ partial: PartialDrawingHandler?,
        _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        try options.sampling.validate()
        guard (1...64).contains(options.batch) else { throw RudolphError("a batch of \(options.batch), expected 1 to 64") }
        if let guidance = options.guidance {
            guard guidance.weight >= 0, guidance.weight <= 1 else {
                throw RudolphError("a guidance weight of \(Double(guidance.weight)), expected 0 to 1")
            }
        }
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

    /// Draws one picture for each text, all of them at once.
    private func batch(
        _ texts: [String], _ streams: [RandomGenerator], _ options: DrawOptions, first: Int, total: Int,
        _ partial: PartialDrawingHandler?, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let length = configuration.leftTextLength
        let head = Transformer.Head.image(rows: configuration.imageVocabularySize)
        let count = texts.count

        // First the caches of the prompts, each different one read once: the texts, and the other prompt when there is guidance.
        // Then one cache for each sequence.
        var caches: [KeyValueCache] = []
        var firstLogits: [[Float]] = []
        func read(_ text: String, _ task: String) throws(RudolphError) {
            let left = try session.segment(text, task: task, length: length, isPadded: true)
            let cache = caches.isEmpty ? session.prefix : try session.cache(start: 0, .positions(capacity: length))
            caches.append(cache)
            guard let logits = try session.read(left, from: 0, into: cache, head: head, progress) else {
                throw RudolphError("no token to read")
            }
            firstLogits.append([Float](logits[0]))
        }
        session.forgetLeftText()
        var different: [String] = []
        var promptOfPicture: [Int] = []
        for text in texts {
            if let index = different.firstIndex(of: text) {
                promptOfPicture.append(index)
            } else {
                promptOfPicture.append(different.count)
                different.append(text)
                try read(text, options.taskToken)
            }
        }
        let otherPrompt = different.count
        let isGuided = options.guidance != nil
        if let guidance = options.guidance { try read(Tokenizer.lowercasedAndStripped(guidance.prompt), "<LT_UNK>") }
        let firstTail = caches.count
        let streamsEach = isGuided ? 2 : 1
        for _ in 0..<(count * streamsEach) { caches.append(try session.cache(start: length, .drawing)) }

        var sampler = Sampler(options.sampling)
        var generators = streams
        var pictures = [[Int]](repeating: [], count: count)
        for picture in pictures.indices { pictures[picture].reserveCapacity(configuration.imageLength) }
        var rows: [Transformer.Row] = []
        rows.reserveCapacity(count * streamsEach)
        let all = [Int](0..<count * streamsEach)
        for index in 0..<configuration.imageLength {
            try report(progress, .generating, first * configuration.imageLength + index * count, total * configuration.imageLength)
            if let partial, index > 0, index % configuration.imageTokensPerSide == 0 { partial(first, pictures) }
            let kept = options.prompt.flatMap { $0.tokens[index] }
            var logits: Transformer.Logits? = nil
            if index > 0 {
                rows.removeAll(keepingCapacity: true)
                for picture in 0..<count {
                    for stream in 0..<streamsEach {
                        rows.append(
                            Transformer.Row(
                                token: pictures[picture][index - 1], position: length + index - 1,
                                cache: firstTail + picture * streamsEach + stream,
                                prefix: stream == 0 ? promptOfPicture[picture] : otherPrompt))
                    }
                }
                logits = try session.transformer.pass(rows, caches: caches, wanted: kept == nil ? all : [], head: head)
            }
            for picture in 0..<count {
                if let kept {
                    pictures[picture].append(kept)
                    continue
                }
                func sample(_ own: UnsafeMutableBufferPointer<Float>, _ other: UnsafeMutableBufferPointer<Float>?) -> Int {
                    guard let guidance = options.guidance, let other else { return sampler.next(own, &generators[picture]) }
                    return sampler.next(own, guidedBy: other, guidance, &generators[picture])
                }
                let token: Int
                if let logits {
                    token = sample(logits[picture * streamsEach], isGuided ? logits[picture * streamsEach + 1] : nil)
                } else {
                    var own = firstLogits[promptOfPicture[picture]]
                    var other = isGuided ? firstLogits[otherPrompt] : []
                    token = own.withUnsafeMutableBufferPointer { own in
                        other.withUnsafeMutableBufferPointer { sample(own, isGuided ? $0 : nil) }
                    }
                }
                pictures[picture].append(token)
            }
        }
        return pictures
    }
}
