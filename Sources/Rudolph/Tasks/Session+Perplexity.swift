extension Session {
    /// Perplexities of a left text (pads ignored) and of the picture that follows it (its tokens from the second on).
    func perplexities(left: [Int], image: [Int]) throws(RudolphError) -> (text: Float, image: Float) {
        let configuration = model.configuration
        var text = Perplexity()
        // The logits at a position are about the token after it.
        try score(left, from: 0, targets: left.indices.dropFirst().map { left[$0] == 0 ? nil : left[$0] } + [nil],
            head: .text(rows: configuration.textRows - configuration.leftTextLength), into: &text)
        var picture = Perplexity()
        let targets: [Int?] = image.dropFirst().map { $0 }
        try score([Int](image.dropLast()), from: left.count, targets: targets, head: .image(rows: configuration.imageVocabularySize), into: &picture)
        return (text.value, picture.value)
    }

    /// Computes positions of the shared sequence and adds those that have a target to `perplexity`.
    private func score(
        _ ids: [Int], from position: Int, targets: [Int?], head: Transformer.Head, into perplexity: inout Perplexity
    ) throws(RudolphError) {
        forgetLeftText()
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
