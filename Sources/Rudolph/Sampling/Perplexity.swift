import CKernels

/// The reference's perplexity: the mean over positions of exp(cross-entropy), not exp of the mean.
struct Perplexity {
    private var sum: Double = 0
    private var count = 0
    private let kernels = rk_norm_kernels_for(rk_cpu_features())

    /// Adds a position whose next token was `target`. Overwrites the logits.
    mutating func add(_ logits: UnsafeMutableBufferPointer<Float>, target: Int) {
        guard logits.indices.contains(target), let base = logits.baseAddress, let softmax = kernels.softmax else { return }
        // exp(cross-entropy) = 1 / probability of the target.
        let total = softmax(base, Int32(logits.count))
        sum += Double(total) / Double(max(logits[target], .leastNonzeroMagnitude))
        count += 1
    }

    var mean: Double { count == 0 ? .nan : sum / Double(count) }
    var value: Float { Self.float(mean) }

    /// A mean as a float, the largest one where it is larger than all.
    static func float(_ mean: Double) -> Float { Float(min(mean, Double(Float.greatestFiniteMagnitude))) }
}
