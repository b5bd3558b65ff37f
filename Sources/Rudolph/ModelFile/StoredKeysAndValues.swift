import CKernels

/// Keys and values of a left text, computed when the file was made: with the standard precision, as halves.
struct StoredKeysAndValues {
    /// For each layer keys, then values, each [head][position][element].
    let halves: UnsafePointer<rk_f16>
    let range: Range<Int>

    init(_ binder: TensorBinder, _ configuration: Configuration) throws(RudolphError) {
        halves = try binder.halves(
            FileSchema.captionLeftText,
            dimensions: [configuration.headSize, configuration.leftTextLength, configuration.heads, 2 * configuration.layers])
        range = try binder.range(of: FileSchema.captionLeftText)
    }
}
