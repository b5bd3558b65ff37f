import Rudolph

/// The attention masks of the reference, which a checkpoint may keep as buffers.
package enum MaskBuffer: String, CaseIterable {
    case row, column = "col", convolution = "conv", lastConvolution = "last_conv"

    /// Its name in a checkpoint.
    package var name: String { "transformer.\(rawValue)_mask" }

    private func mask(_ model: ModelConfiguration) -> Mask {
        switch self {
        case .row: .row
        case .column: .column
        case .convolution: .window(kernel: model.kernelSize)
        case .lastConvolution: .window(kernel: model.lastKernelSize)
        }
    }

    /// Compares the checkpoint's buffer, where it has one, with the mask that the runtime has for `model`.
    func check(_ checkpoint: Checkpoint, _ model: ModelConfiguration) throws(ConversionError) {
        guard checkpoint.tensors[name] != nil else { return }
        let length = model.sequenceLength, mask = mask(model)
        let layout = AttentionLayout(leftTextLength: model.leftTextLength, side: model.imageTokensPerSide)
        let view = try checkpoint.tensor(name, shape: [length, length])
        var line = [Float](repeating: 0, count: length)
        for query in 0..<length {
            line.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { view.copy(rows: query..<query + 1, to: base) } }
            for key in 0..<length {
                let isSeen = layout.sees(query: query, key: key, mask)
                guard (line[key] != 0) != isSeen else { continue }
                throw checkpoint.failure(
                    "\(name) differs from the mask of \(model.name) at query \(query), key \(key): found \(isSeen ? 0 : 1), "
                        + "expected \(isSeen ? 1 : 0); are preset, kernel sizes and text lengths those of this checkpoint?")
            }
        }
        view.release()
    }
}
