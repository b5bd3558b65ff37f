import Dispatch

/// Lets the columns of a matrix that are rounded later make up for what rounding took from the earlier ones, as far as the inputs of the two
/// go together: GPTQ (Frantar et al., 2022).
///
/// With the second moments of the inputs H = (I + U) D (I + U)^T, U strictly upper triangular, and F = I - (I + U)^-1, rounding column j of
/// a row by e_j (what it was minus what it became) adds e_j F_jk to each later column k. Columns come in blocks of `block`, which know
/// nothing of each other.
struct ErrorFeedback: Sendable {
    static let block = 1024
    /// Columns that are quantized at once.
    static let group = Int4Row.group
    /// Added to the diagonal of H, as a share of its mean: moments are estimates, and columns without input have none.
    private static let damping = 0.01

    private struct Block {
        /// The columns, padded to whole groups.
        let width: Int
        /// F, `width` rows of `width`, then D, `width` relative to the mean of H's diagonal. Padding is zeros.
        let values: [Float]
    }

    private let blocks: [Block]

    /// How the errors of a group's columns spread inside it, and what they cost.
    struct Group {
        /// Row j holds the shares F_jk of column j's error that the later columns k of the group get; `stride` floats to the next row.
        let factors: UnsafePointer<Float>
        let stride: Int
        /// D_j, what the square of column j's error costs when all later columns of the matrix have made up for it.
        let costs: UnsafePointer<Float>
    }

    /// - Parameter factors: of the matrix's columns, which its inputs were divided by after the moments were taken; nil for 1.
    init(_ moments: InputMoments, columnFactors factors: [Float]? = nil) {
        let inverse = factors.map { $0.map { 1 / Double($0) } }
        let columns = InputMoments.blocks(of: moments.columns)
        let buffers = columns.map { UnsafeMutableBufferPointer<Float>.allocate(capacity: Self.padded($0.count) * (Self.padded($0.count) + 1)) }
        defer { for block in buffers { block.deallocate() } }
        nonisolated(unsafe) let (moments, targets) = (moments, buffers)
        DispatchQueue.concurrentPerform(iterations: columns.count) { Self.factor(moments, inverse, columns[$0], into: targets[$0]) }
        blocks = zip(columns, buffers).map { Block(width: Self.padded($0.count), values: [Float]($1)) }
    }

    private static func padded(_ count: Int) -> Int { (count + group - 1) / group * group }

    /// F and D of one block.
    private static func factor(
        _ moments: InputMoments, _ scales: [Double]?, _ block: Range<Int>, into values: UnsafeMutableBufferPointer<Float>
    ) {
        let count = block.count, width = padded(count)
        values.initialize(repeating: 0)
        for index in 0..<width { values[width * width + index] = 1 }
        func moment(_ row: Int, _ column: Int) -> Double {
            let moment = Double(moments.row(row, of: block)[column])
            return scales.map { moment * $0[block.lowerBound + row] * $0[block.lowerBound + column] } ?? moment
        }
        var mean = 0.0
        for index in 0..<count { mean += moment(index, index) / Double(count) }
        guard mean > 0, mean.isFinite else { return }

        withUnsafeTemporaryAllocation(of: Double.self, capacity: count * count) { memory in
            guard let matrix = memory.baseAddress else { return }
            func row(_ index: Int) -> UnsafeMutablePointer<Double> { matrix + index * count }
            // R with H = R R^T, R upper triangular, column after column from the last one on.
            for column in (0..<count).reversed() {
                let own = row(column), later = column + 1
                let pivot =
                    moment(column, column) + damping * mean - dot(own + later, own + later, count - later)
                // Rounding alone could make it less.
                own[column] = max(pivot, damping * mean * 1e-3).squareRoot()
                for other in 0..<column {
                    let line = row(other)
                    line[column] = (moment(other, column) - dot(line + later, own + later, count - later)) / own[column]
                }
            }
            // I + U is R with columns divided by its diagonal. The rows of its inverse, from the last one on, take the place of R's.
            let diagonal = (0..<count).map { row($0)[$0] }
            for index in (0..<count).reversed() {
                let own = row(index)
                let factors = (index + 1..<count).map { own[$0] / diagonal[$0] }
                for column in index + 1..<count { own[column] = 0 }
                for (offset, factor) in factors.enumerated() {
                    let other = index + 1 + offset
                    own[other] -= factor
                    subtract(factor, row(other) + other + 1, from: own + other + 1, count - other - 1)
                }
            }
            for index in 0..<count {
                for column in index + 1..<count { values[index * width + column] = Float(-row(index)[column]) }
                values[width * width + index] = Float(diagonal[index] * diagonal[index] / mean)
            }
        }
    }

    /// y -= factor * x
    @inline(__always)
    private static func subtract(_ factor: Double, _ x: UnsafePointer<Double>, from y: UnsafeMutablePointer<Double>, _ count: Int) {
        for index in 0..<count { y[index] -= factor * x[index] }
    }

    @inline(__always)
    private static func dot(_ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, _ count: Int) -> Double {
        var sums = SIMD8<Double>()
        let whole = count & ~7
        let a = UnsafeRawPointer(x), b = UnsafeRawPointer(y)
        for index in stride(from: 0, to: whole, by: 8) {
            sums += a.loadUnaligned(fromByteOffset: index * 8, as: SIMD8<Double>.self)
                * b.loadUnaligned(fromByteOffset: index * 8, as: SIMD8<Double>.self)
        }
        for index in whole..<count { sums[0] += x[index] * y[index] }
        return sums.sum()
    }

    /// Quantizes a group of 32 columns from `first` on in one row: each becomes scale * step.
    /// - Parameters:
    ///   - weights: the group's weights, zeros past the last column; then room for as many.
    ///   - errors: e of the row's columns, those of the whole matrix padded to groups; the group's own are added.
    ///   - steps: takes the integers.
    ///   - scale: chooses the scale for the weights with what they make up for.
    ///   - step: a weight, of which it gets the inverse of the scale too, as an integer.
    @inline(__always)
    func quantize(
        _ weights: UnsafeMutablePointer<Float>, from first: Int, errors: UnsafeMutablePointer<Float>, steps: UnsafeMutablePointer<Float>,
        scale: (UnsafePointer<Float>, Group?) -> Float, step: (Float, Float) -> Float
    ) {
        let (index, begin) = first.quotientAndRemainder(dividingBy: Self.block)
        // Columns that the moments do not have make up for nothing.
        guard index < blocks.count, begin < blocks[index].width else {
            return Self.round(weights, scale: scale(weights, nil), to: steps, step: step)
        }
        let width = blocks[index].width, errors = errors + index * Self.block, corrected = weights + Self.group
        blocks[index].values.withUnsafeBufferPointer { values in
            guard let rows = values.baseAddress.map({ $0 + begin }) else { return }
            Self.add(errors, begin, rows, width, to: weights, corrected)
            let scale = scale(corrected, Group(factors: rows + begin * width, stride: width, costs: rows + width * width))
            let inverse = Self.inverse(scale)
            for column in 0..<Self.group {
                steps[column] = step(corrected[column], inverse)
                let error = corrected[column] - steps[column] * scale
                errors[begin + column] = error
                let row = rows + (begin + column) * width
                for other in 0..<Self.group { corrected[other] += error * row[other] }
            }
        }
    }

    /// Likewise where columns make up for nothing.
    @inline(__always)
    static func round(
        _ weights: UnsafePointer<Float>, scale: Float, to steps: UnsafeMutablePointer<Float>, step: (Float, Float) -> Float
    ) {
        let inverse = inverse(scale)
        for column in 0..<group { steps[column] = step(weights[column], inverse) }
    }

    private static func inverse(_ scale: Float) -> Float { scale == 0 ? 0 : 1 / scale }

    /// sums = weights + the errors' rows, 32 columns of each.
    @inline(__always)
    private static func add(
        _ errors: UnsafePointer<Float>, _ count: Int, _ rows: UnsafePointer<Float>, _ width: Int, to weights: UnsafePointer<Float>,
        _ sums: UnsafeMutablePointer<Float>
    ) {
        typealias Half = SIMD16<Float>
        let from = UnsafeRawPointer(weights), to = UnsafeMutableRawPointer(sums)
        var low = from.loadUnaligned(as: Half.self), high = from.loadUnaligned(fromByteOffset: 64, as: Half.self)
        for index in 0..<count {
            let error = Half(repeating: errors[index]), row = UnsafeRawPointer(rows + index * width)
            low += error * row.loadUnaligned(as: Half.self)
            high += error * row.loadUnaligned(fromByteOffset: 64, as: Half.self)
        }
        to.storeBytes(of: low, as: Half.self)
        to.storeBytes(of: high, toByteOffset: 64, as: Half.self)
    }
}
