/// Which earlier image tokens an image token sees. Every token sees all earlier text, and text sees everything before it.
public enum Mask: Equatable, Sendable {
    /// The `m` tokens before it in reading order, and itself.
    case row
    /// Itself and those above it in its column.
    case column
    /// Those at most `kernel / 2` rows and columns away.
    case window(kernel: Int)
}

/// Where each position's keys and values lie in a cache, and which runs of slots a query sees.
///
/// Slots follow positions, except that layers with the column mask keep image tokens column by column: so every mask sees
/// a handful of runs of neighbouring slots, and attention never touches a key that is masked.
public struct AttentionLayout: Sendable {
    let leftTextLength, side, rightTextStart: Int

    public init(_ configuration: Configuration) {
        leftTextLength = configuration.leftTextLength
        side = configuration.imageTokensPerSide
        rightTextStart = configuration.rightTextStart
    }

    init(leftTextLength: Int, side: Int) {
        self.leftTextLength = leftTextLength
        self.side = side
        rightTextStart = leftTextLength + side * side
    }

    /// The mask of layer `index` of `layers`.
    public static func mask(layer index: Int, of layers: Int, kernel: Int, lastKernel: Int) -> Mask {
        if index % 4 == 1 { return .column }
        if index == layers - 1 { return .window(kernel: lastKernel) }
        return index % 4 == 3 ? .window(kernel: kernel) : .row
    }

    /// The slot of a position in a cache that holds the whole sequence.
    func slot(_ position: Int, _ mask: Mask) -> Int {
        guard mask == .column, position >= leftTextLength, position < rightTextStart else { return position }
        let index = position - leftTextLength
        return leftTextLength + index % side * side + index / side
    }

    /// The most runs that `visit` gives for one query.
    func maximumRuns(_ mask: Mask) -> Int {
        switch mask {
        case .row: 1
        case .column: 2
        case .window(let kernel): 2 + kernel / 2
        }
    }

    /// Gives the runs of slots that the query at `position` sees, in ascending order, as first slot and length.
    @inline(__always)
    func visit(_ position: Int, _ mask: Mask, _ run: (_ first: Int, _ count: Int) -> Void) {
        guard position >= leftTextLength, position < rightTextStart else {
            run(0, position + 1)
            return
        }
        let index = position - leftTextLength
        let row = index / side
        let column = index % side
        switch mask {
        case .row:
            let first = max(0, index - side)
            if first == 0 {
                run(0, position + 1)
            } else {
                run(0, leftTextLength)
                run(leftTextLength + first, index - first + 1)
            }
        case .column:
            run(0, leftTextLength)
            run(leftTextLength + column * side, row + 1)
        case .window(let kernel):
            run(0, leftTextLength)
            let reach = kernel / 2
            let firstColumn = max(0, column - reach)
            let lastColumn = min(side - 1, column + reach)
            for seenRow in max(0, row - reach)..<row {
                run(leftTextLength + seenRow * side + firstColumn, lastColumn - firstColumn + 1)
            }
            run(leftTextLength + row * side + firstColumn, column - firstColumn + 1)
        }
    }

    /// Whether the query at `query` sees the key at `key`: the mask written out, for checks and pictures.
    public func sees(query: Int, key: Int, _ mask: Mask) -> Bool {
        let wanted = slot(key, mask)
        var seen = false
        visit(query, mask) { first, count in
            if wanted >= first && wanted < first + count { seen = true }
        }
        return seen
    }
}
