/// How finely the rows that integer matrices multiply are quantized, one scale for each token.
public enum ActivationPrecision: Sendable {
    /// 8 bits: the fastest. Costs as much accuracy as 8-bit weights do.
    case int8
    /// 16 bits where the weights have 8; 8 bits where they have 4. More arithmetic, the same memory traffic.
    case int16

    /// Bytes of a quantized activation, where the weights have 8 bits.
    var bytes: Int { self == .int8 ? 1 : 2 }

    /// What a model is run with unless the caller says otherwise: 8-bit weights deserve finer activations, 4-bit weights gain nothing
    /// from them (see Docs/ARCHITECTURE.md).
    static func standard(for type: WeightType) -> ActivationPrecision { type == .int8 ? .int16 : .int8 }
}
