/// The four attention masks of the reference, to compare with the buffers in a checkpoint.
package enum AttentionMask: String, CaseIterable {
    case row, column = "col", convolution = "conv", lastConvolution = "last_conv"

    /// The buffer's name in a checkpoint.
    package var bufferName: String { "transformer.\(rawValue)_mask" }

    /// Whether position `query` sees position `key` of the sequence.
    package func allows(query: Int, key: Int, in model: ModelConfiguration) -> Bool {
        guard key <= query else { return false }
        let first = model.leftTextLength, side = model.imageTokensPerSide
        let image = first..<first + side * side
        guard image.contains(query), image.contains(key) else { return true }
        let distance = query - key
        switch self {
        case .row: return distance <= side
        case .column: return distance % side == 0
        case .convolution, .lastConvolution:
            let reach = (self == .convolution ? model.kernelSize : model.lastKernelSize) / 2
            let (queryRow, queryColumn) = (query - first).quotientAndRemainder(dividingBy: side)
            let (keyRow, keyColumn) = (key - first).quotientAndRemainder(dividingBy: side)
            return abs(queryRow - keyRow) <= reach && abs(queryColumn - keyColumn) <= reach
        }
    }

    /// Compares the checkpoint's buffer, where it has one, with the mask that `model` computes.
    func check(_ checkpoint: Checkpoint, _ model: ModelConfiguration) throws(ConversionError) {
        guard checkpoint.tensors[bufferName] != nil else { return }
        let length = model.sequenceLength
        let view = try checkpoint.tensor(bufferName, shape: [length, length])
        var line = [Float](repeating: 0, count: length)
        for query in 0..<length {
            line.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { view.copy(rows: query..<query + 1, to: base) } }
            for key in 0..<length where (line[key] != 0) != allows(query: query, key: key, in: model) {
                throw checkpoint.failure(
                    "\(bufferName) differs from the mask of \(model.name) at query \(query), key \(key): found \(line[key] != 0 ? 1 : 0), "
                        + "expected \(line[key] != 0 ? 0 : 1); are preset, kernel sizes and text lengths those of this checkpoint?")
            }
        }
        view.release()
    }
}
