extension Tokenizer {
    /// The ids of a text, without begin and end. Neither case nor white space inside words is touched: see
    /// `lowercasedAndStripped`.
    public func encode(_ text: String) -> [Int] {
        encode(utf8: Array(text.utf8).span)
    }

    /// The ids of a text in UTF-8. A byte that does not begin a well-formed character is skipped, as youtokentome does.
    public func encode(utf8 text: Span<UInt8>) -> [Int] {
        var ids: [Int] = []
        forEachToken(in: Self.codePoints(of: text)) { token, _ in
            switch token {
            case .piece(let id): ids.append(Int(id))
            case .unknown: ids.append(unknownID)
            }
        }
        return ids
    }

    /// What `encode` finds, as text: one string for each id. A run of unknown characters is shown as it stands in the text.
    public func subwords(of text: String) -> [String] {
        var subwords: [String] = []
        forEachToken(in: Self.codePoints(of: Array(text.utf8).span)) { token, codePoints in
            switch token {
            case .piece(let id): subwords.append(self.text(of: Int(id)))
            case .unknown(let run): subwords.append(Self.string(codePoints[run]))
            }
        }
        return subwords
    }

    /// A part of a text: a piece of the vocabulary, or a run of characters that the model does not know.
    enum Token {
        case piece(UInt32)
        case unknown(Range<Int>)
    }

    /// Calls `body` with each token from left to right, and with the code points that the ranges refer to.
    private func forEachToken(in codePoints: [UInt32], _ body: (Token, [UInt32]) -> Void) {
        var word = Word()
        var end = 0
        while true {
            var start = end
            while start < codePoints.count, Self.isSpace(codePoints[start]) { start += 1 }
            guard start < codePoints.count else { return }
            end = start
            while end < codePoints.count, !Self.isSpace(codePoints[end]) { end += 1 }

            split(codePoints, start..<end, into: &word)
            merge(&word)
            // The first node stays in the list: a merge keeps its left node.
            var node = 0
            while node != Word.none {
                body(word.nodes[node].token, codePoints)
                node = word.nodes[node].next
            }
        }
    }

    /// A word as a linked list of tokens in text order, and the merges that may be possible in it.
    private struct Word {
        static let none = -1

        struct Node {
            var token: Token
            var previous: Int
            var next: Int
        }

        var nodes: [Node] = []
        var queue = MergeQueue()

        mutating func append(_ token: Token) {
            let position = nodes.count
            if position > 0 { nodes[position - 1].next = position }
            nodes.append(Node(token: token, previous: position - 1, next: Self.none))
        }
    }

    private func split(_ codePoints: [UInt32], _ range: Range<Int>, into word: inout Word) {
        word.nodes.removeAll(keepingCapacity: true)
        if let id = characters[UInt64(Self.wordStart)] { word.append(.piece(id)) }
        var position = range.lowerBound
        while position < range.upperBound {
            if let id = characters[UInt64(codePoints[position])] {
                word.append(.piece(id))
                position += 1
            } else {
                let start = position
                repeat { position += 1 } while position < range.upperBound && characters[UInt64(codePoints[position])] == nil
                word.append(.unknown(start..<position))
            }
        }
    }

    private func merge(_ word: inout Word) {
        for position in word.nodes.indices { queueMerge(at: position, in: &word) }
        while let merge = word.queue.pop() {
            // Nodes may have changed since this merge was queued; then its rule no longer fits, or it has been queued again.
            let position = merge.position
            guard rule(at: position, in: word) == merge.rule else { continue }
            let absorbed = word.nodes[position].next
            let next = word.nodes[absorbed].next
            word.nodes[absorbed].next = Word.none
            word.nodes[position].token = .piece(merged[merge.rule])
            word.nodes[position].next = next
            if next != Word.none { word.nodes[next].previous = position }

            let previous = word.nodes[position].previous
            if previous != Word.none { queueMerge(at: previous, in: &word) }
            queueMerge(at: position, in: &word)
        }
    }

    private func queueMerge(at position: Int, in word: inout Word) {
        guard let rule = rule(at: position, in: word) else { return }
        word.queue.push(Merge(rule: rule, position: position))
    }

    /// The rule that merges the node at `position` with the next one. An absorbed node has no next one.
    private func rule(at position: Int, in word: Word) -> Int? {
        let node = word.nodes[position]
        guard node.next != Word.none, case .piece(let left) = node.token, case .piece(let right) = word.nodes[node.next].token
        else { return nil }
        return merges[Self.pairKey(left, right)].map { Int($0) }
    }

    /// What youtokentome splits words at: the C library's white space in ASCII, and U+2581.
    private static func isSpace(_ codePoint: UInt32) -> Bool {
        codePoint == 0x20 || (0x09...0x0D).contains(codePoint) || codePoint == wordStart
    }
}
