import Foundation

/// A matrix whose columns or rows are multiplied by factors as it is read.
struct Scaled: RowSource {
    let source: any RowSource
    /// Of each column, of each row; nil for 1.
    var columnFactors: [Float]?
    var rowFactors: [Float]?

    var rows: Int { source.rows }
    var columns: Int { source.columns }

    func copy(rows range: Range<Int>, to destination: UnsafeMutablePointer<Float>) {
        source.copy(rows: range, to: destination)
        for (index, row) in range.enumerated() {
            let values = destination + index * columns
            if let columnFactors { for column in 0..<columns { values[column] *= columnFactors[column] } }
            if let factor = rowFactors?[row] { for column in 0..<columns { values[column] *= factor } }
        }
    }

    func release() { source.release() }
}

/// Factors that make the columns of a matrix and those of its inputs alike before each row of either gets one scale, and that what makes the
/// inputs takes back: W x = (W diag(c)) (x / c) (SmoothQuant, Xiao et al., 2023). It costs nothing at run time.
enum ColumnEqualization {
    /// How much of the differences between its inputs a matrix takes on.
    enum Share {
        /// c_j = (a_j / w_j)^1/2
        case half
        /// c_j = a_j^3/4 / w_j^1/4
        case threeQuarters
    }

    /// Scaled to a geometric mean of 1; a_j is the largest magnitude of column j of the inputs, w_j the largest weight of the column. Columns
    /// without either keep 1.
    static func factors(_ matrix: any RowSource, _ share: Share, inputs: (Int) -> Float) -> [Float] {
        let columns = matrix.columns
        var largest = [Float](repeating: 0, count: columns)
        let atOnce = max(1, (1 << 18) / max(columns, 1))
        withUnsafeTemporaryAllocation(of: Float.self, capacity: atOnce * columns) { buffer in
            guard let values = buffer.baseAddress else { return }
            for first in stride(from: 0, to: matrix.rows, by: atOnce) {
                let range = first..<min(first + atOnce, matrix.rows)
                matrix.copy(rows: range, to: values)
                matrix.release()
                for row in 0..<range.count {
                    for column in 0..<columns { largest[column] = max(largest[column], abs(values[row * columns + column])) }
                }
            }
        }
        var factors = [Float](repeating: 1, count: columns)
        var logarithms = 0.0
        var counted = 0
        for column in 0..<columns {
            let input = inputs(column)
            guard input > 0, largest[column] > 0 else { continue }
            let half = (input / largest[column]).squareRoot()
            let factor =
                switch share {
                case .half: half
                case .threeQuarters: (input * half).squareRoot()
                }
            guard factor.isNormal else { continue }
            factors[column] = factor
            logarithms += log(Double(factor))
            counted += 1
        }
        guard counted > 0 else { return factors }
        let mean = Float(exp(logarithms / Double(counted)))
        for column in 0..<columns where factors[column] != 1 { factors[column] /= mean }
        return factors
    }
    /// How large a norm makes each column, as its weight and bias say, without data.
    static func sizes(normWeight: TensorView, normBias: TensorView) -> [Float] {
        let columns = normWeight.asRow().columns
        var sizes = [Float](repeating: 0, count: columns), bias = sizes
        sizes.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { normWeight.asRow().copy(rows: 0..<1, to: base) } }
        bias.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { normBias.asRow().copy(rows: 0..<1, to: base) } }
        for column in 0..<columns { sizes[column] = (sizes[column] * sizes[column] + bias[column] * bias[column]).squareRoot() }
        return sizes
    }
}
