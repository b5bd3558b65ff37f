/// Keys and values of a left text, computed when the file was made.
struct StoredKeysAndValues {
    let format: KeyValueFormat
    /// For each layer keys, then values, each [head][position][element].
    let elements: UnsafeRawPointer
    /// In the same order, [head][position]; nil for f16.
    let scales: UnsafeRawPointer?
    /// Where they lie in the file.
    let ranges: [Range<Int>]
    /// The activations that they were computed with; nil where the weights know one way only.
    let precision: ActivationPrecision?

    /// Of the elements, the fastest one first; without the first one, of the scales.
    static func dimensions(_ configuration: Configuration) -> [Int] {
        [configuration.headSize, configuration.leftTextLength, configuration.heads, 2 * configuration.layers]
    }

    init(_ binder: TensorBinder, _ configuration: Configuration, _ weightType: WeightType) throws(RudolphError) {
        let dimensions = Self.dimensions(configuration), file = binder.file
        var ranges = [try binder.range(of: FileSchema.captionLeftText)]
        if try file.tensor(named: FileSchema.captionLeftText).type == .i8 {
            format = .int8
            elements = try binder.data(FileSchema.captionLeftText, .i8, dimensions: dimensions)
            scales = try binder.data(FileSchema.captionLeftTextScales, .f32, dimensions: [Int](dimensions.dropFirst()))
            ranges.append(try binder.range(of: FileSchema.captionLeftTextScales))
        } else {
            format = .f16
            elements = try binder.data(FileSchema.captionLeftText, .f16, dimensions: dimensions)
            scales = nil
        }
        self.ranges = ranges
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
