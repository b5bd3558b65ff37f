/// How keys and values of earlier positions are kept.
public enum KeyValueFormat: Sendable, CaseIterable {
    /// IEEE half precision.
    case f16
    /// 8 bits, and a scale for each head and position: 53 % of the memory with heads of 64, a little less exact (see Docs/QUALITY.md).
    case int8

    /// What a model is run with unless the caller says otherwise: beside what rounding to integers does to weights and activations, it does little to
    /// keys and values.
    package static func standard(for type: WeightType) -> KeyValueFormat { type.isInteger ? .int8 : .f16 }

    /// The name on command lines.
    public var name: String { self == .f16 ? "f16" : "int8" }

    var elementSize: Int { self == .f16 ? 2 : 1 }
}
