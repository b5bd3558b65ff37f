extension Tokenizer {
    /// The piece of each id: "▁кот", "<UNK>". An id outside the vocabulary has an empty one.
    public func pieces(of ids: [Int]) -> [String] {
        ids.map { text(of: $0) }
    }

    /// The text of ids: their pieces joined, U+2581 at the beginning of a piece as a space, without a space at the very
    /// beginning. Ids for which `ignoring` is true are left out, as are ids outside the vocabulary (task tokens).
    public func decode(_ ids: [Int], ignoring: (Int) -> Bool = { _ in false }) -> String {
        var utf8: [UInt8] = []
        var isFirst = true
        for id in ids where pieces.indices.contains(id) && !ignoring(id) {
            appendPiece(id, spaced: true, to: &utf8)
            if isFirst, utf8.first == 0x20 { utf8.removeFirst() }
            isFirst = false
        }
        return String(decoding: utf8, as: UTF8.self)
    }

    func text(of id: Int) -> String {
        var utf8: [UInt8] = []
        appendPiece(id, spaced: false, to: &utf8)
        return String(decoding: utf8, as: UTF8.self)
    }

    /// Appends the UTF-8 of a piece; `spaced`: with a space for a U+2581 at its beginning.
    private func appendPiece(_ id: Int, spaced: Bool, to utf8: inout [UInt8]) {
        guard pieces.indices.contains(id) else { return }
        if case .special = pieces[id] {
            utf8.append(contentsOf: specialName(id).utf8)
            return
        }
        var pending: [UInt32] = []
        forEachCodePoint(of: id, spaced: spaced, &pending) { Self.append($0, to: &utf8) }
    }

    /// Calls `body` with the code points of a piece, none for special ids and those outside the vocabulary.
    /// - Parameters:
    ///   - spaced: whether a U+2581 at its beginning becomes a space.
    ///   - pending: room for what is still to come of it, at most `longestPiece` elements; empty before and after.
    func forEachCodePoint(of id: Int, spaced: Bool, _ pending: inout [UInt32], _ body: (UInt32) -> Void) {
        guard pieces.indices.contains(id) else { return }
        // A loop and not a recursion: a damaged model may nest rules as deep as a piece is long.
        pending.append(UInt32(id))
        var isFirst = true
        while let next = pending.popLast() {
            switch pieces[Int(next)] {
            case .pair(let left, let right):
                pending.append(right)
                pending.append(left)
            case .character(let codePoint):
                body(spaced && isFirst && codePoint == Self.wordStart ? 0x20 : codePoint)
                isFirst = false
            case .special:
                break
            }
        }
    }

    private func specialName(_ id: Int) -> String {
        switch id {
        case unknownID: "<UNK>"
        case padID: "<PAD>"
        case beginID: "<BOS>"
        default: "<EOS>"
        }
    }
}
