/// Generates texts that go on from a shared prefix, all of them at once.
struct TextGeneration {
    let session: Session
    let sampling: SamplingOptions
    let seed: UInt64
    /// The first position to generate and the one after the last.
    let positions: Range<Int>
    /// Logits considered: ids below this.
    let rows: Int
    /// The only ids that may be generated, or nil.
    let allowed: [Int]?

    /// - Parameter first: logits after the last token of the prefix.
    /// - Returns: the ids of each candidate, up to and without the one that ended it; whether an end came.
    func run(
        candidates: Int, first: Transformer.Logits, _ progress: ProgressHandler?
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let end = session.model.tokenizer.endID
        guard !positions.isEmpty else { return [[Int]](repeating: [], count: candidates) }
        // A single sequence goes on in the prefix's own cache.
        let isSingle = candidates == 1
        let tails = isSingle ? [] : try session.tails(candidates, from: positions.lowerBound, capacity: positions.count)
        let caches = [session.prefix] + tails

        var sampler = Sampler(sampling)
        var generators: [RandomGenerator] = []
        var texts = [[Int]](repeating: [], count: candidates)
        // The candidates that have not ended, and the token that each goes on with.
        var active: [(candidate: Int, token: Int)] = []
        var permitted = [Float](repeating: 0, count: allowed?.count ?? 0)
        for candidate in 0..<candidates {
            generators.append(RandomGenerator(seed: seed, stream: candidate))
        }
        func take(_ logits: UnsafeMutableBufferPointer<Float>, for candidate: Int, into next: inout [(candidate: Int, token: Int)]) {
            if let allowed {
                // What may not come becomes impossible.
                for (place, id) in allowed.enumerated() { permitted[place] = logits[id] }
                logits.update(repeating: -.infinity)
                for (place, id) in allowed.enumerated() { logits[id] = permitted[place] }
            }
            let id = sampler.next(logits, &generators[candidate])
            // A task token ends the text as well.
            guard id != end, id < configuration.textVocabularySize else { return }
            texts[candidate].append(id)
            next.append((candidate, id))
        }
        for candidate in 0..<candidates { take(first[0], for: candidate, into: &active) }

        for position in positions.dropLast() {
            if active.isEmpty { break }
            try report(progress, .generating, position - positions.lowerBound + 1, positions.count)
            var next: [(candidate: Int, token: Int)] = []
            next.reserveCapacity(active.count)
            var start = 0
            while start < active.count {
                let group = active[start..<min(start + session.transformer.maximumRows, active.count)]
                var rows: [Transformer.Row] = []
                rows.reserveCapacity(group.count)
                for entry in group {
                    rows.append(Transformer.Row(token: entry.token, position: position, cache: isSingle ? 0 : entry.candidate + 1))
                }
                let logits = try session.transformer.pass(
                    rows, caches: caches, wanted: [Int](0..<rows.count), head: .text(rows: self.rows))
                for (index, entry) in group.enumerated() { take(logits[index], for: entry.candidate, into: &next) }
                start += group.count
            }
            active = next
        }
        return texts
    }
}
