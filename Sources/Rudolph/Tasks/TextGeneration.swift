import CPlatform

/// Generates texts at the same positions of several sequences, all of them at once.
struct TextGeneration {
    /// A text to generate: where its keys and values go, where those of what it goes on from are (the same cache where it holds both),
    /// which of the first logits are its own, and whom it is told.
    struct Sequence {
        let generator: RandomGenerator
        let cache, prefix, first: Int
        var partial: PartialTextHandler? = nil
    }

    let session: Session
    let sampling: SamplingOptions
    /// What each text begins with. It lacks the end token so that the text goes on. (The reference also drops the last token of a segment that
    /// was cut and has no end.)
    let prompt: [Int]
    /// Tokens of a text at most, the prompt included.
    let length: Int
    /// The first position to generate and the one after the last.
    let positions: Range<Int>
    /// Logits considered: ids below this.
    let rows: Int
    /// The only ids that may be generated, in order, or nil.
    let allowed: [Int]?

    /// - Parameters:
    ///   - segment: what each text begins with, as an encoded segment.
    ///   - places: the positions of the whole segment.
    ///   - maximumTokens: of the text, what it begins with included; nil for the whole segment.
    init(
        _ session: Session, beginning segment: [Int], at places: Range<Int>, maximumTokens: Int?, sampling: SamplingOptions, rows: Int,
        allowed: [Int]? = nil
    ) throws(RudolphError) {
        prompt = segment.last == session.model.tokenizer.endID ? [Int](segment.dropLast()) : segment
        length = min(places.count, maximumTokens ?? .max)
        guard length > prompt.count else {
            throw RudolphError("what the text begins with takes \(prompt.count) of \(length) tokens and leaves no room to go on")
        }
        positions = (places.lowerBound + prompt.count)..<(places.lowerBound + length)
        self.session = session
        self.sampling = sampling
        self.rows = rows
        self.allowed = allowed?.sorted()
    }

    /// The head that gives these logits.
    var head: Transformer.Head { .text(rows: rows) }

    /// Candidates that all go on from the session's prefix.
    /// - Parameters:
    ///   - first: logits after the last token of the prefix.
    ///   - partial: is told the first candidate's text.
    /// - Returns: equal texts once, in order of appearance.
    func run(
        candidates: Int, seed: UInt64?, first: Transformer.Logits, _ partial: PartialTextHandler?, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [(text: String, ids: [Int], count: Int)] {
        let seed = seed ?? rp_random_seed()
        // The most probable tokens are the same for all candidates.
        let count = sampling.isGreedy ? 1 : candidates
        // A single sequence goes on in the prefix's own cache.
        let tails = count == 1 ? [] : try session.tails(count, from: positions.lowerBound, capacity: max(1, positions.count))
        let sequences = (0..<count).map {
            Sequence(
                generator: RandomGenerator(seed: seed, stream: $0), cache: count == 1 ? 0 : $0 + 1, prefix: 0, first: 0,
                partial: $0 == 0 ? partial : nil)
        }
        let texts = try run(sequences, caches: [session.prefix] + tails, first: [[Float](first[0])], progress)
        return counted(texts, each: candidates / count)
    }

    /// - Parameter first: logits after what the sequences go on from.
    /// - Returns: the ids of each sequence, up to and without the one that ended it.
    func run(
        _ sequences: [Sequence], caches: [KeyValueCache], first: [[Float]], _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let end = session.model.tokenizer.endID
        var first = first
        let samplers = Samplers(sampling, logits: rows, threads: session.threads)
        // What workers write to at the same time: each sequence's generator, and what is chosen for each row of a pass.
        let generators = UnsafeMutablePointer<RandomGenerator>.allocate(capacity: sequences.count)
        for (index, sequence) in sequences.enumerated() { (generators + index).initialize(to: sequence.generator) }
        let chosen = UnsafeMutablePointer<Int>.allocate(capacity: session.transformer.maximumRows)
        chosen.initialize(repeating: end, count: session.transformer.maximumRows)
        defer {
            generators.deallocate()
            chosen.deallocate()
        }
        var texts = [[Int]](repeating: [], count: sequences.count)
        guard !positions.isEmpty else { return texts }
        for sequence in texts.indices { texts[sequence].reserveCapacity(positions.count) }
        let streams = sequences.map { $0.partial.map { TextStream(session.model.tokenizer, length: length, $0) } }
        for case let stream? in streams {
            for id in prompt where !isSpecial(id) { stream.append(id) }
        }
        // The sequences that have not ended, and the token that each goes on with.
        var active: [(sequence: Int, token: Int)] = []
        func take(_ id: Int, for sequence: Int, into next: inout [(sequence: Int, token: Int)]) {
            // A task token ends the text as well.
            guard id != end, id < configuration.textVocabularySize else { return }
            texts[sequence].append(id)
            next.append((sequence, id))
            if let stream = streams[sequence], !isSpecial(id) { stream.append(id) }
        }
        active.reserveCapacity(sequences.count)
        // Sequences with the same first logits are neighbours.
        var considered: Int? = nil
        for sequence in sequences.indices {
            if session.stop.isRaised { throw RudolphError.stopped }
            let own = sequences[sequence].first
            samplers.forEach(1) { sampler, _ in
                if own != considered { first[own].withUnsafeMutableBufferPointer { consider($0, &sampler) } }
                chosen[0] = sampler.again(&generators[sequence])
            }
            considered = own
            take(chosen[0], for: sequence, into: &active)
        }

        // Kept from token to token; what is wanted only changes when a sequence ends.
        var next: [(sequence: Int, token: Int)] = []
        var rows: [Transformer.Row] = []
        var wanted: [Int] = []
        next.reserveCapacity(active.count)
        rows.reserveCapacity(min(session.transformer.maximumRows, active.count))
        wanted.reserveCapacity(rows.capacity)
        for position in positions.dropLast() {
            if active.isEmpty { break }
            try report(progress, .generating, position - positions.lowerBound + 1, positions.count)
            next.removeAll(keepingCapacity: true)
            var start = 0
            while start < active.count {
                let group = active[start..<min(start + session.transformer.maximumRows, active.count)]
                rows.removeAll(keepingCapacity: true)
                for entry in group {
                    let sequence = sequences[entry.sequence]
                    rows.append(Transformer.Row(token: entry.token, position: position, cache: sequence.cache, prefix: sequence.prefix))
                }
                while wanted.count < rows.count { wanted.append(wanted.count) }
                wanted.removeLast(wanted.count - rows.count)
                let logits = try session.transformer.pass(rows, caches: caches, wanted: wanted, head: head)
                samplers.forEach(group.count) { sampler, index in
                    consider(logits[index], &sampler)
                    chosen[index] = sampler.again(&generators[group[group.startIndex + index].sequence])
                }
                if session.stop.isRaised { throw RudolphError.stopped }
                for (index, entry) in group.enumerated() { take(chosen[index], for: entry.sequence, into: &next) }
                start += group.count
            }
            swap(&active, &next)
        }
        return texts
    }

    /// Shows a sampler what a sequence goes on from; what may not come becomes impossible.
    private func consider(_ logits: UnsafeMutableBufferPointer<Float>, _ sampler: inout Sampler) {
        if let allowed {
            var next = 0
            for id in allowed where id >= next {
                logits[next..<id].update(repeating: -.infinity)
                next = id + 1
            }
            logits[next...].update(repeating: -.infinity)
        }
        sampler.consider(logits)
    }

    /// Whether an id is no part of a text: task tokens and those that open, fill and close segments or stand for what is not known.
    private func isSpecial(_ id: Int) -> Bool {
        let tokenizer = session.model.tokenizer
        return id >= session.model.configuration.textVocabularySize || id == tokenizer.padID || id == tokenizer.unknownID
            || id == tokenizer.beginID || id == tokenizer.endID
    }

    /// Generated texts, equal ones once, in order of appearance; `ids` begin with the prompt and end with the end token if it came
    /// before the segment was full.
    /// - Parameter each: candidates that each of them stands for.
    func counted(_ generated: [[Int]], each: Int = 1) -> [(text: String, ids: [Int], count: Int)] {
        let tokenizer = session.model.tokenizer
        var found: [(text: String, ids: [Int], count: Int)] = []
        var indices: [String: Int] = [:]
        for ids in generated {
            let all = prompt + ids
            let text = Tokenizer.stripped(tokenizer.decode(all, ignoring: isSpecial))
            if let index = indices[text] {
                found[index].count += each
            } else {
                indices[text] = found.count
                found.append((text, all.count < length ? all + [tokenizer.endID] : all, each))
            }
        }
        return found
    }
}

/// Texts to generate in the right segment, checked before there is a picture.
struct RightTexts {
    private let left: [Int]
    private let candidates: Int
    private let seed: UInt64?
    private let partial: PartialTextHandler?
    private let generation: TextGeneration

    /// - Parameters:
    ///   - segment: what each text begins with, as an encoded segment.
    ///   - maximumTokens: of the right text, what it begins with included; nil for the whole segment.
    ///   - partial: is told the first candidate's text.
    init(
        _ session: Session, left: [Int], beginning segment: [Int], candidates: Int, sampling: SamplingOptions, seed: UInt64?,
        maximumTokens: Int?, partial: PartialTextHandler?
    ) throws(RudolphError) {
        try sampling.validate()
        try Session.validate(candidates: candidates)
        let configuration = session.model.configuration
        self.left = left
        self.candidates = candidates
        self.seed = seed
        self.partial = partial
        generation = try TextGeneration(
            session, beginning: segment, at: configuration.rightTextStart..<configuration.sequenceLength, maximumTokens: maximumTokens,
            sampling: sampling, rows: configuration.textTokenRows)
    }

    /// Texts after the left text and a picture; equal ones once, in order of appearance.
    func generate(after image: [Int], _ progress: ProgressHandler?) throws(RudolphError) -> [(text: String, ids: [Int], count: Int)] {
        let session = generation.session
        try session.model.configuration.validate(imageTokens: image)
        try session.readLeftText(left, progress)
        let first = try session.logits(after: image + generation.prompt, from: left.count, head: generation.head, progress)
        return try generation.run(candidates: candidates, seed: seed, first: first, partial, progress)
    }
}

extension Session {
    /// Indices of texts, the most frequent first; those that came up equally often stay in order of appearance.
    static func byCount(_ found: [(text: String, ids: [Int], count: Int)]) -> [Int] {
        Ranking.order(of: found.map { -$0.count })
    }

    /// As the reference: a candidate without any text counts only where there is nothing else.
    static func removeEmpty(from found: inout [(text: String, ids: [Int], count: Int)]) {
        if found.count > 1 { found.removeAll { $0.text.isEmpty } }
    }
}
