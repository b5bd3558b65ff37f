import Foundation

/// A matrix whose columns are multiplied by factors as it is read.
struct ScaledColumns: RowSource {
    let source: any RowSource
    let factors: [Float]

    var rows: Int { source.rows }
    var columns: Int { source.columns }

    func copy(rows range: Range<Int>, to destination: UnsafeMutablePointer<Float>) {
        source.copy(rows: range, to: destination)
        for row in 0..<range.count {
            for column in 0..<columns { destination[row * columns + column] *= factors[column] }
        }
    }

    func release() { source.release() }
}

/// Factors that make the columns of a matrix alike before each of its rows gets one scale, and that the layer norm before it takes
/// back: W x = (W diag(c)) (x / c). On the output head this takes a third off the error of 8-bit weights and costs nothing at run time.
enum ColumnEqualization {
    /// c_j = sqrt(a_j / w_j), scaled to a geometric mean of 1: a_j is how large the norm makes column j (its weight and bias), w_j the
    /// largest weight of the column. Columns without either keep 1.
    static func factors(_ matrix: TensorView, normWeight: TensorView, normBias: TensorView) -> [Float] {
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
        var weight = [Float](repeating: 0, count: columns)
        var bias = weight
        weight.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { normWeight.asRow().copy(rows: 0..<1, to: base) } }
        bias.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { normBias.asRow().copy(rows: 0..<1, to: base) } }

        var factors = [Float](repeating: 1, count: columns)
        var logarithms = 0.0
        var counted = 0
        for column in 0..<columns {
            let activation = (weight[column] * weight[column] + bias[column] * bias[column]).squareRoot()
            guard activation > 0, largest[column] > 0 else { continue }
            let factor = (activation / largest[column]).squareRoot()
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
}
