import CKernels

/// Keys and values of a left text, computed when the file was made, as f16.
struct StoredKeysAndValues {
    /// For each layer keys, then values, each [head][position][element].
    let f16: UnsafePointer<rk_f16>
    let range: Range<Int>
    /// The activations that they were computed with; nil where the weights know one way only.
    let precision: ActivationPrecision?

    init(_ binder: TensorBinder, _ configuration: Configuration, _ weightType: WeightType) throws(RudolphError) {
        f16 = try binder.f16(
            FileSchema.captionLeftText,
            dimensions: [configuration.headSize, configuration.leftTextLength, configuration.heads, 2 * configuration.layers])
        range = try binder.range(of: FileSchema.captionLeftText)
        let file = binder.file
        if weightType != .int8 {
            precision = nil
        } else if file[FileSchema.Key.leftTextActivations] == nil {
            precision = .int16
        } else {
            let name = try file.string(FileSchema.Key.leftTextActivations)
            guard let known = ActivationPrecision(name: name) else {
                throw .invalidFile("\(file.file.path): \(FileSchema.Key.leftTextActivations) is \(name), expected int8, mixed or int16")
            }
            precision = known
        }
    }
}
