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

/// Draws pictures from texts.
public struct Drawer {
    public let session: Session

    public init(_ session: Session) {
        self.session = session
    }

    /// Drawings of a text, best first when they were ranked.
    public func draw(_ text: String, _ options: DrawOptions = DrawOptions(), progress: ProgressHandler? = nil) throws(RudolphError) -> [Drawing] {
        try options.sampling.validate()
        let candidates = options.candidates ?? options.count
        guard options.count >= 1, candidates >= options.count, candidates <= 4096 else {
            throw RudolphError("\(options.count) pictures of \(candidates) candidates, expected 1 or more, and at most 4096 candidates")
        }
        guard (1...64).contains(options.batch) else { throw RudolphError("a batch of \(options.batch), expected 1 to 64") }
        if let guidance = options.guidance {
            guard guidance.weight >= 0, guidance.weight <= 1 else {
                throw RudolphError("a guidance weight of \(Double(guidance.weight)), expected 0 to 1")
            }
        }
        let text = Tokenizer.lowercasedAndStripped(text)
        guard !text.isEmpty else { throw RudolphError("an empty text to draw") }
        let seed = options.seed ?? rp_random_seed()
        var drawn: [[Int]] = []
        while drawn.count < candidates {
            drawn += try batch(
                text, options, seed: seed, streams: drawn.count..<min(drawn.count + options.batch, candidates), total: candidates, progress)
        }
        guard candidates > options.count else {
            return drawn.map { Drawing(tokens: $0, score: nil, textPerplexity: nil, imagePerplexity: nil) }
        }
        let ranked = try Ranker(session).ranked(drawn, by: text, progress: progress)
        return [Drawing](ranked.prefix(options.count))
    }

    private func batch(
        _ text: String, _ options: DrawOptions, seed: UInt64, streams: Range<Int>, total: Int, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let length = configuration.leftTextLength
        let head = Transformer.Head.image(rows: configuration.imageVocabularySize)
        let count = streams.count

        // Cache 0 holds the text, cache 1 the other prompt when there is guidance; then one cache for each sequence.
        let left = try session.segment(text, task: options.taskToken, length: length, isPadded: true)
        var caches = [session.prefix]
        var firstOther: [Float] = []
        let isGuided = options.guidance != nil
        if let guidance = options.guidance {
            let other = try session.segment(
                Tokenizer.lowercasedAndStripped(guidance.prompt), task: "<LT_UNK>", length: length, isPadded: true)
            let cache = try KeyValueCache(configuration, start: 0, .positions(capacity: length))
            caches.append(cache)
            if let logits = try session.read(other, from: 0, into: cache, head: head, progress) { firstOther = [Float](logits[0]) }
        }
        session.forgetLeftText()
        guard let logits = try session.read(left, from: 0, into: session.prefix, head: head, progress) else {
            throw RudolphError("no token to read")
        }
        var first = [Float](logits[0])
        let firstTail = caches.count
        let streamsEach = isGuided ? 2 : 1
        for _ in 0..<(count * streamsEach) { caches.append(try KeyValueCache(configuration, start: length, .drawing)) }

        var sampler = Sampler(options.sampling)
        var generators = streams.map { RandomGenerator(seed: seed, stream: $0) }
        var pictures = [[Int]](repeating: [], count: count)
        for index in 0..<configuration.imageLength {
            try report(
                progress, .generating, streams.lowerBound * configuration.imageLength + index * count, total * configuration.imageLength)
            let kept = options.prompt.flatMap { $0.tokens[index] }
            var logits: Transformer.Logits? = nil
            if index > 0 {
                var rows: [Transformer.Row] = []
                rows.reserveCapacity(count * streamsEach)
                for picture in 0..<count {
                    for stream in 0..<streamsEach {
                        rows.append(
                            Transformer.Row(
                                token: pictures[picture][index - 1], position: length + index - 1,
                                cache: firstTail + picture * streamsEach + stream, prefix: stream))
                    }
                }
                logits = try session.transformer.pass(
                    rows, caches: caches, wanted: kept == nil ? [Int](0..<rows.count) : [], head: head)
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
                    token = first.withUnsafeMutableBufferPointer { own in
                        firstOther.withUnsafeMutableBufferPointer { sample(own, isGuided ? $0 : nil) }
                    }
                }
                pictures[picture].append(token)
            }
        }
        return pictures
    }
}
