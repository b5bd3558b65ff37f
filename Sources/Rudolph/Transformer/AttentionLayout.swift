/// Where each position's keys and values lie in a cache, and which runs of slots a query sees.
///
/// Slots follow positions, except that layers with the column mask keep image tokens column by column: so every mask sees
/// a handful of runs of neighbouring slots, and attention never touches a key that is masked.
package struct AttentionLayout: Sendable {
    let leftTextLength, side, rightTextStart: Int

    /// Of a model.
    package init(_ configuration: Configuration) {
        leftTextLength = configuration.leftTextLength
        side = configuration.imageTokensPerSide
        rightTextStart = configuration.rightTextStart
    }

    /// For `leftTextLength` positions of text and then side * side image tokens, at most as many as a file may have.
    package init(leftTextLength: Int, side: Int) {
        self.leftTextLength = leftTextLength
        self.side = side
        rightTextStart = leftTextLength + side * side
    }

    /// Rows of image tokens that a cache keeps for a layer: all, or in a ring only those that a later token can still see.
    func keptRows(_ mask: Mask, isRing: Bool) -> Int {
        guard isRing else { return side }
        switch mask {
        case .row: return min(side, 2)
        case .column: return side
        case .window(let kernel): return min(side, kernel / 2 + 1)
        }
    }

    /// How many image tokens from `index` on one pass may compute in a ring. Keys of a whole pass are stored before any are read, so one more would
    /// take the slot of a key that another token of the pass sees.
    func ringTokensAtOnce(from index: Int, _ mask: Mask) -> Int {
        let kept = keptRows(mask, isRing: true)
        guard kept < side else { return side * side - index }
        let row = index / side
        // The pass fills rows that were empty, and then those of which nothing is seen from its own.
        guard row >= kept - 1 else { return kept * side - index }
        let unseen = mask == .row ? index % side : max(0, index % side - (kept - 1))
        return min((row + 1) * side + unseen, side * side) - index
    }

    /// The slot of a position in a cache that starts at position 0.
    func slot(_ position: Int, _ mask: Mask, isRing: Bool = false) -> Int {
        guard position >= leftTextLength, position < rightTextStart else { return position }
        let index = position - leftTextLength
        if mask == .column { return leftTextLength + index % side * side + index / side }
        return leftTextLength + index / side % keptRows(mask, isRing: isRing) * side + index % side
    }

    /// The most runs that `visit` gives for one query.
    func maximumRuns(_ mask: Mask) -> Int {
        switch mask {
        case .row: 3
        case .column: 2
        case .window(let kernel): 2 + kernel / 2
        }
    }

    /// Gives the runs of slots that the query at `position` sees, as first slot and length.
    @inline(__always)
    func visit(_ position: Int, _ mask: Mask, isRing: Bool = false, _ run: (_ first: Int, _ count: Int) -> Void) {
        guard position >= leftTextLength, position < rightTextStart else {
            run(0, position + 1)
            return
        }
        run(0, leftTextLength)
        let index = position - leftTextLength
        let row = index / side
        let column = index % side
        let kept = keptRows(mask, isRing: isRing)
        func visitRow(_ seen: Int, _ columns: ClosedRange<Int>) {
            run(leftTextLength + seen % kept * side + columns.lowerBound, columns.count)
        }
        switch mask {
        case .row:
            if row > 0 { visitRow(row - 1, column...(side - 1)) }
            visitRow(row, 0...column)
        case .column:
            run(leftTextLength + column * side, row + 1)
        case .window(let kernel):
            let reach = kernel / 2
            let first = max(0, column - reach)
            for seen in max(0, row - reach)..<row { visitRow(seen, first...min(side - 1, column + reach)) }
            visitRow(row, first...column)
        }
    }

    /// Whether the query at `query` sees the key at `key`: the mask written out, for checks and pictures.
    package func sees(query: Int, key: Int, _ mask: Mask) -> Bool {
        let wanted = slot(key, mask)
        var seen = false
        visit(query, mask) { first, count in
            if wanted >= first && wanted < first + count { seen = true }
        }
        return seen
    }
}
