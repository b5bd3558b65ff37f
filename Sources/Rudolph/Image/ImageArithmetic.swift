/// How the convolutions of the image tokenizer are summed.
public enum ImageArithmetic: Sendable {
    /// 3 x 3 convolutions by Winograd's transform: a quarter of the products, rounded a little differently.
    case fast
    /// Product by product, in the order of the definition.
    case direct
}
