extension Session {
    /// What each id of a text is followed by; nil after the last one and before a pad.
    static func next(_ ids: [Int]) -> [Int?] {
        ids.indices.map { $0 + 1 < ids.count && ids[$0 + 1] != 0 ? ids[$0 + 1] : nil }
    }

    /// Perplexities of a left text (pads ignored) and of the picture that follows it (its tokens from the second on).
    func perplexities(left: [Int], image: [Int]) throws(RudolphError) -> (text: Float, image: Float) {
        let configuration = model.configuration
        var text = Perplexity()
        forgetLeftText()
        try score(left, from: 0, targets: Self.next(left), head: .text(rows: configuration.textTokenRows), into: &text)
        var picture = Perplexity()
        // The last token is a target and need not be read.
        try score(
            [Int](image.dropLast()), from: left.count, targets: image.dropFirst().map { $0 },
            head: .image(rows: configuration.imageVocabularySize), into: &picture)
        return (text.value, picture.value)
    }

    /// Perplexities of a picture after the left text that was read, and of the right text that follows it.
    func perplexities(image: [Int], right: [Int]) throws(RudolphError) -> (text: Float, image: Float) {
        let configuration = model.configuration
        var picture = Perplexity()
        try score(
            image, from: configuration.leftTextLength, targets: image.dropFirst().map { $0 } + [nil],
            head: .image(rows: configuration.imageVocabularySize), into: &picture)
        var text = Perplexity()
        try score(
            right, from: configuration.rightTextStart, targets: Self.next(right), head: .text(rows: configuration.textTokenRows), into: &text)
        return (text.value, picture.value)
    }

    /// Reads positions of the shared sequence and adds those that have a target to `perplexity`.
    func score(
        _ ids: [Int], from position: Int, targets: [Int?], head: Transformer.Head, into perplexity: inout Perplexity
    ) throws(RudolphError) {
        var start = 0
        while start < ids.count {
            let range = start..<min(start + transformer.maximumRows, ids.count)
            var rows: [Transformer.Row] = []
            var wanted: [Int] = []
            var next: [Int] = []
            for index in range {
                if let target = targets[index] {
                    wanted.append(rows.count)
                    next.append(target)
                }
                rows.append(Transformer.Row(token: ids[index], position: position + index, cache: 0))
            }
            for exponential in try exponentials(rows, caches: [prefix], wanted: wanted, next: next, head: head) { perplexity.add(exponential) }
            start = range.upperBound
        }
    }

    /// Perplexities of `texts` that all go on at `position` from what was read of the shared sequence. They are read together, what all of them begin
    /// with only once.
    /// - Parameters:
    ///   - beginning: ids right before `position` that are read first.
    ///   - advance: called before each pass with how many texts are done.
    func perplexities(
        of texts: [[Int]], at position: Int, after beginning: [Int] = [], head: Transformer.Head,
        _ advance: (_ done: Int) throws(RudolphError) -> Void
    ) throws(RudolphError) -> [Perplexity] {
        guard let first = texts.first else { return [] }
        // The last id that all have is followed by others, or ends a text: each reads it for itself. A single text shares all with itself.
        var shared = first.count
        for text in texts.dropFirst() {
            let equal = zip(first, text).prefix { $0 == $1 }.count
            shared = max(0, min(shared, equal - 1))
        }
        // Of each row its text, nil for all of them, and its place there.
        var places: [(text: Int?, index: Int)] = []
        for index in -beginning.count..<shared { places.append((nil, index)) }
        for (text, ids) in texts.enumerated() {
            for index in shared..<ids.count { places.append((text, index)) }
        }
        let targets = texts.map(Self.next)
        var found = [Perplexity](repeating: Perplexity(), count: texts.count)
        // The shared sequence, then tails of the texts in a pass, the last of them `newest`.
        var caches = [prefix]
        var newest: Int? = nil
        for start in stride(from: 0, to: places.count, by: transformer.maximumRows) {
            let pass = places[start..<min(start + transformer.maximumRows, places.count)]
            try advance(places[start].text ?? 0)
            // A text may go on in the next pass.
            if caches.count > 2 { caches.removeSubrange(1..<(caches.count - 1)) }
            var rows: [Transformer.Row] = []
            var wanted: [Int] = []
            var next: [Int] = []
            for (text, index) in pass {
                if let text, text != newest {
                    caches.append(try cache(start: position + shared, .positions(capacity: texts[text].count - shared)))
                    newest = text
                }
                if index >= 0, let target = targets[text ?? 0][index] {
                    wanted.append(rows.count)
                    next.append(target)
                }
                let token = index < 0 ? beginning[beginning.count + index] : texts[text ?? 0][index]
                rows.append(Transformer.Row(token: token, position: position + index, cache: text == nil ? 0 : caches.count - 1))
            }
            for (index, exponential) in try exponentials(rows, caches: caches, wanted: wanted, next: next, head: head).enumerated() {
                if let text = places[start + wanted[index]].text {
                    found[text].add(exponential)
                } else {
                    for text in found.indices { found[text].add(exponential) }
                }
            }
        }
        return found
    }

    /// Computes rows; of each wanted one exp(cross-entropy) of the id that comes next.
    private func exponentials(
        _ rows: [Transformer.Row], caches: [KeyValueCache], wanted: [Int], next: [Int], head: Transformer.Head
    ) throws(RudolphError) -> [Double?] {
        let logits = try transformer.pass(rows, caches: caches, wanted: wanted, head: head)
        return Perplexity.exponentials(wanted.count, threads: threads) { (logits[$0], next[$0]) }
    }
}
