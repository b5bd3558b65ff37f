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
            for index in range {
                if targets[index] != nil { wanted.append(rows.count) }
                rows.append(Transformer.Row(token: ids[index], position: position + index, cache: 0))
            }
            let logits = try transformer.pass(rows, caches: [prefix], wanted: wanted, head: head)
            for (index, row) in wanted.enumerated() {
                if let target = targets[start + row] { perplexity.add(logits[index], target: target) }
            }
            start = range.upperBound
        }
    }
}
