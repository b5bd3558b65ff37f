import Testing

@testable import Rudolph

@Suite struct MaskTests {
    /// The matrix of a mask, rows of queries.
    func matrix(_ layout: AttentionLayout, _ mask: Mask, _ length: Int) -> [Bool] {
        (0..<length * length).map { layout.sees(query: $0 / length, key: $0 % length, mask) }
    }

    func difference(_ found: [Bool], _ expected: [Bool], _ length: Int) -> String? {
        guard found.count == expected.count else { return "\(found.count) elements, expected \(expected.count)" }
        return found.indices.first { found[$0] != expected[$0] }.map {
            "query \($0 / length), key \($0 % length): \(found[$0]), expected \(expected[$0])"
        }
    }

    @Test func equalTheReferenceOnTheDemoModel() throws {
        let layout = AttentionLayout(leftTextLength: 32, side: 8)
        for (name, mask) in [
            ("row", Mask.row), ("col", .column), ("conv", .window(kernel: 3)), ("last_conv", .window(kernel: 5)),
        ] {
            let expected = try Golden.Array("\(name)_mask.npy")
            #expect(expected.shape == [128, 128])
            let difference = difference(matrix(layout, mask, 128), try expected.booleans(), 128)
            #expect(difference == nil, "\(name)")
        }
    }

    /// The sizes whose matrices the reference's own tests write out.
    @Test func equalTheReferenceOnSmallMatrices() throws {
        let layout = AttentionLayout(leftTextLength: 6, side: 4)
        for (name, mask) in [("row", Mask.row), ("col", .column), ("conv", .window(kernel: 3))] {
            let expected = try Golden.Array("small_\(name)_mask.npy")
            #expect(expected.shape == [28, 28])
            let difference = difference(matrix(layout, mask, 28), try expected.booleans(), 28)
            #expect(difference == nil, "\(name)")
        }
    }

    /// The largest shape that a file may have.
    @Test func largeShapesHaveMasks() {
        let layout = AttentionLayout(leftTextLength: 65536, side: 256)
        let end = 65536 + 256 * 256
        for mask in [Mask.row, .column, .window(kernel: 1), .window(kernel: 1023)] {
            for query in [0, 65535, 65536, end - 1, end, end + 65535] {
                #expect(layout.sees(query: query, key: query, mask) && layout.sees(query: query, key: 0, mask))
                #expect(!layout.sees(query: query, key: query + 1, mask))
            }
        }
    }

    @Test func layersTakeTheReferencesMasks() {
        func masks(_ layers: Int) -> [Mask] {
            (0..<layers).map { Mask(layer: $0, of: layers, kernel: 7, lastKernel: 9) }
        }
        let row = Mask.row, column = Mask.column, window = Mask.window(kernel: 7), last = Mask.window(kernel: 9)
        #expect(masks(8) == [row, column, row, window, row, column, row, last])
        #expect(masks(1) == [last])
        #expect(masks(2) == [row, column])
        #expect(masks(3) == [row, column, last])
        #expect(masks(6) == [row, column, row, window, row, column])
    }

    /// A drawing's cache keeps few rows: what a query reads must be exactly the keys that its mask lets through, none of them overwritten.
    @Test(arguments: [1, 2, 3, 4, 8, 16, 24, 32])
    func drawingsKeepWhatCanStillBeSeen(side: Int) {
        let left = 5
        let layout = AttentionLayout(leftTextLength: left, side: side)
        let masks = [Mask.row, .column] + [1, 3, 5, 7, 9, 11, 2 * side + 1].map { Mask.window(kernel: $0) }
        for mask in masks {
            let slots = left + layout.keptRows(mask, isRing: true) * side
            var owner = [Int?](repeating: nil, count: slots)
            for position in 0..<left { owner[layout.slot(position, mask, isRing: true)] = position }
            for query in left..<(left + side * side) {
                let slot = layout.slot(query, mask, isRing: true)
                guard slot < slots else {
                    Issue.record("side \(side), \(mask): position \(query) in slot \(slot) of \(slots)")
                    break
                }
                owner[slot] = query
                var seen: [Int] = []
                var runs = 0
                layout.visit(query, mask, isRing: true) { first, count in
                    runs += 1
                    for slot in first..<(first + count) { seen.append(slot < slots ? owner[slot] ?? -1 : -2) }
                }
                let expected = (0...query).filter { key in
                    guard key >= left else { return true }
                    let (q, k) = (query - left, key - left)
                    return switch mask {
                    case .row: q - k <= side
                    case .column: (q - k) % side == 0
                    case .window(let kernel):
                        q / side - k / side <= kernel / 2 && abs(q % side - k % side) <= kernel / 2
                    }
                }
                #expect(seen.sorted() == expected, "side \(side), \(mask), query \(query)")
                #expect(runs <= layout.maximumRuns(mask), "side \(side), \(mask), query \(query)")
            }
        }
    }

    /// All keys of a pass are stored before any are read: of so many tokens none may take a slot that another one sees, and of one more some would.
    @Test(arguments: [1, 2, 3, 4, 8, 16])
    func passesOfDrawingsOverwriteNothing(side: Int) {
        let layout = AttentionLayout(leftTextLength: 0, side: side)
        let masks = [Mask.row, .column] + [1, 3, 5, 7, 9, 11, 2 * side + 1].map { Mask.window(kernel: $0) }
        for mask in masks {
            let slots = (0..<side * side).map { layout.slot($0, mask, isRing: true) }
            var owner = [Int](repeating: -1, count: layout.keptRows(mask, isRing: true) * side)
            /// Whether each of these tokens sees what it does where there is no ring.
            func isRight(_ pass: Range<Int>) -> Bool {
                var owner = owner
                for token in pass { owner[slots[token]] = token }
                return pass.allSatisfy { query in
                    var (seen, expected): ([Int], [Int]) = ([], [])
                    layout.visit(query, mask, isRing: true) { seen += owner[$0..<($0 + $1)] }
                    layout.visit(query, mask) { expected += $0..<($0 + $1) }
                    if mask == .column { expected = expected.map { $0 % side * side + $0 / side } }
                    return seen.sorted() == expected.sorted()
                }
            }
            for first in 0..<side * side {
                let end = first + layout.ringTokensAtOnce(from: first, mask)
                #expect(first < end && end <= side * side, "side \(side), \(mask), from \(first)")
                #expect(isRight(first..<end), "side \(side), \(mask), \(first) to \(end)")
                if end < side * side { #expect(!isRight(first..<end + 1), "side \(side), \(mask), \(first) to \(end) and one more") }
                owner[slots[first]] = first
            }
        }
    }
}
